"""CIFAR-10 (Krizhevsky 2009) from its authors' files: 60,000 colour images of 32x32 in ten classes.

config.data.dir is, or holds, cifar-10-python.tar.gz or the folder cifar-10-batches-py that it unpacks to, or the binary version of
either. The images are kept in memory (184 MB).
"""

from pathlib import Path

from sde_vae.data.dataset import DataOptions, Dataset, Split
from sde_vae.data.datasets.cifar10_batches import BINARY, PYTHON, read_batches
from sde_vae.data.datasets.folder import require_path
from sde_vae.data.datasets.search import search
from sde_vae.data.io.archive import open_files
from sde_vae.data.io.tar import read_tar
from sde_vae.errors import BadInput

TARS = (".tar.gz", ".tgz", ".tar")
# A folder needs no inflating, so it comes before the archive beside it.
NAMES = (
    *("cifar-10-batches-py", "data_batch_1", *(f"cifar-10-python{ending}" for ending in TARS)),
    *("cifar-10-batches-bin", "data_batch_1.bin", *(f"cifar-10-binary{ending}" for ending in TARS)),
)
EXPECTED = "cifar-10-python.tar.gz, the folder cifar-10-batches-py, or the binary version of either"


def cifar10(options: DataOptions) -> Dataset:
    """Return the splits train (50,000) and test (10,000). The attribute `label` is the class, int64, 0 to 9.

    Raises BadInput, which names the file, for data that is missing, damaged or unsafe. Nothing in a pickle is run.
    """
    source = _find(require_path(options.dir, f"{EXPECTED}, or a folder with one"))
    files = _files(source, [name for version in (PYTHON, BINARY) for name in (*version.batches, version.meta)])
    version = BINARY if BINARY.batches[0] in files else PYTHON
    train, test = read_batches(str(source), version, files)
    splits = {"train": train, "test": test}
    return Dataset("cifar10", {n: Split(b.images, b.labels[:, None]) for n, b in splits.items()}, attributes=("label",))


def _find(root: Path) -> Path:
    """Return the archive or the folder of batches, at `root` or below it."""
    if root.is_file():
        return root
    found, searched = search(root, {"data": NAMES})
    if path := found.get("data"):
        # The first batch stands for the folder in which it is.
        return path.parent if path.name.casefold().startswith("data_batch") else path
    prepared = (root / "dataset_info.json").is_file() or (root / "cifar10").is_dir()
    hint = "; for data of tensorflow-datasets set config.data.name=tfds:cifar10" if prepared else ""
    raise BadInput(f"config.data.dir: {root} has no {EXPECTED} (searched: {searched}){hint}")


def _files(source: Path, wanted: list[str]) -> dict[str, bytes]:
    """Return name -> bytes of the wanted files of an archive or a folder."""
    if not source.is_dir():
        return read_tar(source, wanted)
    with open_files(source) as files:
        return {name: files.read(name) for name in wanted if name in files.names}
