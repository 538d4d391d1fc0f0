"""The comparison itself, small: its tables have a column for what evaluators measure, by the names that they give it."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.comparison import plan, results, run
from benchmarks.comparison.columns import IMAGES, LATENTS
from benchmarks.comparison.page import complete
from benchmarks.comparison.settings import base_config
from tests.helpers import compiling

ROOT = Path(__file__).parent.parent.parent
# Columns of other data: images that SSIM's window fits in, exact factors, binary attributes, and latent diffusion.
OF_OTHERS = {
    "reconstruction/ssim",
    "latent/mig",
    "latent/tad",
    "latent/dci_disentanglement",
    "latent/dci_completeness",
    "latent/dci_informativeness",
    "latent/probe_average_precision",
    "latent/edit/preserved/1",
    "latent/edit/true_change/1",
    "latent/edit/off_target/1",
    "latent_prior/diffusion/fd",
}


def shrunk(*args):
    config = base_config(*args)
    for stage in (config.stages.prior, config.stages.encoder):
        stage.steps, stage.checkpoint_every, stage.log_every, stage.warmup = 4, 4, 1, 0
    for net in (config.model.prior, config.model.encoder, config.model.decoder):
        net.channels, net.multipliers = 8, (1,)
    config.sampling.steps, config.eval.n, config.eval.samples = 2, 32, 32
    return config


def train_one_row(folder):
    """In a process of its own, as a user does: there arrays from a file are NumPy's, and nothing checks types."""
    plan.base_config, plan.RESULTS = shrunk, folder / "results"
    options = plan.Options("digits", name="t", workdir=folder, seeds=1, rows=["lifted"], latents=[2])
    run.compare(options, {})
    # Once more: nothing is trained.
    run.compare(options, {})


@pytest.mark.slow
def test_every_column_is_measured_by_a_row_that_was_run(tmp_path):
    env = compiling.one_device() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests/benchmarks'}"}
    code = f"from pathlib import Path; from test_comparison_whole import train_one_row; train_one_row(Path({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[1/1] ScoreVAE, lifted, beta 0.01, 2 latents, seed 0") == 1
    frame = complete(results.load(tmp_path / "results" / "t.json").frame())
    measured = {name for name in frame if frame[name].notna().any()}
    assert {*IMAGES, *LATENTS} - OF_OTHERS <= measured
    assert not OF_OTHERS & measured
    assert (tmp_path / "results" / "t.png").stat().st_size > 5_000
    page = (tmp_path / "results" / "t.md").read_text()
    assert all(method in page for method in frame["method"])
