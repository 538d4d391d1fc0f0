"""The notebooks run from their first cell to their last, in their small setting, and show pictures that are not empty."""

import base64
import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from tests.helpers import compiling

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What is set in place of the cell with the tag `parameters`, and how many pictures there are.
SMALL = {
    "quickstart": ("STEPS = 8", 6),
    "celeba64_tpu": ("SMALL = True", 5),
    "own_prior": ("STEPS = 8", 3),
    "conditional": ("STEPS = 8", 3),
}
# These run by `make test-slow`: what they call is called by tests/test_run.py and by the other two.
SLOW = ("celeba64_tpu", "quickstart")
RUN = [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else []) for path in NOTEBOOKS]
# An empty figure is one colour; one with a title but no image deviates less than this from it.
LEAST_DEVIATION = 20


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures(notebook):
    """Grey values [H, W] of each PNG among the outputs."""
    for cell in code(notebook):
        for output in cell.outputs:
            if png := output.get("data", {}).get("image/png"):
                yield np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("L"), np.float64)


@pytest.mark.parametrize("path", RUN)
def test_it_runs_and_shows_pictures(path, tmp_path):
    notebook = read(path)
    setting, expected = SMALL[path.stem]
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    parameters.source = f"{setting}\nfrom tests.helpers import small_notebook\nsmall_notebook.begin()"
    # As a user's kernel: one device, and the package found from any folder.
    environment = compiling.one_device() | {"PYTHONPATH": str(ROOT)}
    client = NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=environment)
    found = list(pictures(notebook))
    assert len(found) == expected
    assert min(picture.std() for picture in found) > LEAST_DEVIATION


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_not_in_git(path):
    assert all(not cell.outputs and cell.execution_count is None for cell in code(read(path)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_defines_nothing_that_belongs_in_the_package(path):
    assert not re.search(r"^\s*(def|class) ", "\n".join(cell.source for cell in code(read(path))), re.MULTILINE)


def test_one_address_of_the_repository():
    """That of setup.py, in every notebook, in its badge, and wherever else it is named."""
    address = re.search(r'^REPOSITORY = "https://github.com/(.+)"$', (ROOT / "setup.py").read_text(), re.MULTILINE)[1]
    for path in NOTEBOOKS:
        assert (
            f"https://colab.research.google.com/github/{address}/blob/main/notebooks/{path.name})" in path.read_text()
        )
    pages = [*NOTEBOOKS, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "CITATION.cff"]
    assert {
        name for page in pages for name in re.findall(r"github(?:\.com)?/([\w-]+/sde_vae)\b", page.read_text())
    } == {address}
