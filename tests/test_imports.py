"""Imports are cheap: what few commands need is imported by them."""

import json
import subprocess
import sys

import pytest

HEAVY = ["diffrax", "grain", "matplotlib", "pandas", "scipy.stats", "sklearn", "tensorboardX", "torch"]


@pytest.mark.parametrize(
    ("line", "without"),
    [
        ("import sde_vae", ["jax", "numpy", *HEAVY]),
        ("import sde_vae.cli", ["jax", *HEAVY]),
        ("import sde_vae; sde_vae.load, sde_vae.train", HEAVY),
    ],
)
def test_what_few_need_is_imported_late(line, without):
    code = f"import json, sys\n{line}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not set(without) & set(json.loads(done.stdout))
