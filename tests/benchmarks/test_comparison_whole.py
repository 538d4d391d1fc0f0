"""The comparison itself, small: its tables have a column for what evaluators tell, by the names that they give it."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import compare
import compare_latents
import compare_page
import record
from compare_config import base_config

ROOT = Path(__file__).parent.parent
# Those of images that ssim's window fits in, of exact factors and of attributes of two values, and of a model of the codes.
OF_OTHERS = {"ssim", "MIG", "TAD", "DCI", "DCI, completeness", "DCI, informativeness", "probe, AP", "FD, diffusion"}
OF_OTHERS |= {"kept", "true change", "other change"}


def shrunk(*args):
    config = base_config(*args)
    for stage in (config.stages.prior, config.stages.encoder):
        stage.steps, stage.checkpoint_every, stage.log_every = 4, 4, 1
    for net in (config.model.prior, config.model.encoder, config.model.decoder):
        net.channels, net.multipliers = 8, (1,)
    config.sampling.steps, config.eval.n, config.eval.samples = 2, 32, 32
    return config


def run(folder):
    """In a process of its own, as a user does: here types are checked, and arrays that come from a file are NumPy's."""
    compare.base_config = shrunk
    for module in (compare, compare_page, record):
        module.RESULTS = folder / "results"
    of = {"data": "digits", "budget": "small", "table": "compare", "name": "t", "workdir": folder, "seeds": 1}
    compare.compare(argparse.Namespace(**of, rows=["lifted"], latents=[2]), {})


def test_every_column_is_told_by_a_row_that_was_run(tmp_path):
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"PYTHONPATH": f"{ROOT}:{ROOT / 'benchmarks'}"}
    code = f"from pathlib import Path; from tests.test_compare_whole import run; run(Path({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "[1/1] ScoreVAE, lifted, beta 0.01, 2 latents, seed 0" in done.stdout
    rows = json.loads((tmp_path / "results" / "t.json").read_text())["figures"]["rows"]
    told = set().union(*rows)
    assert {*compare_page.COLUMNS, *compare_latents.COLUMNS} - OF_OTHERS <= told
    assert not OF_OTHERS & told
    assert (tmp_path / "results" / "t.png").stat().st_size > 10_000
    page = (tmp_path / "results" / "t.md").read_text()
    assert all(row["method"] in page for row in rows)
