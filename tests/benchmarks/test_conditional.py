"""The benchmarks of conditional estimators: the exact posterior that draws are compared with, and the tables over seeds."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.conditional import gaussian, page
from benchmarks.conditional.__main__ import config_of
from benchmarks.conditional.gaussian import NOISE, SHAPE, config, copied, given, pixels
from sde_vae.arrays import keys_of
from sde_vae.build.config import load_config, set_fields
from sde_vae.data.operators.inpainting import HiddenSquare
from sde_vae.data.operators.super_resolution import Downscaling
from sde_vae.types import Condition


@pytest.mark.parametrize("operator", [HiddenSquare(), Downscaling(2)], ids=["inpainting", "super_resolution"])
def test_the_posterior_is_that_of_precisions(x64, operator):
    """The benchmark conditions by covariances. Here the precisions add up, with the operator's own adjoint."""
    mean, covariance = pixels()
    x = jnp.asarray(mean.reshape(1, *SHAPE) + np.random.default_rng(0).normal(size=(1, *SHAPE)))
    mask = operator.draw(keys_of(jax.random.key(0), jnp.arange(1)), x)
    y = operator.forward(x, mask)
    of_each = None if mask is None else jnp.tile(mask, (64, 1, 1, 1))
    unit = jnp.eye(64).reshape(64, *SHAPE)
    normal = np.asarray(operator.adjoint(operator.forward(unit, of_each), of_each)).reshape(64, 64)
    precision = np.linalg.inv(covariance) + normal / NOISE**2
    weighted = np.linalg.solve(covariance, mean) + np.asarray(operator.adjoint(y, mask)).ravel() / NOISE**2

    got = given((mean, covariance), operator, Condition(y, mask, jnp.arange(1)), 0)
    np.testing.assert_allclose(got[0], np.linalg.solve(precision, weighted), atol=1e-9)
    np.testing.assert_allclose(got[1], np.linalg.inv(precision), atol=1e-9)


@pytest.mark.parametrize("method", ["cde", "pigdm"])
def test_its_configs_take_the_gaussian_images(method, tmp_path):
    chosen = config(method, "super_resolution", tmp_path / "images.npy")
    assert (chosen.method, chosen.task.noise, chosen.task.factor, chosen.data.shape) == (method, NOISE, 2, SHAPE)


def test_copies_of_an_observation_differ_in_their_seed_alone():
    y = Condition(np.arange(6.0).reshape(2, 3), None, np.array([7, 9], np.uint32))
    got = copied(y, 3)
    assert got.mask is None
    assert len(set(got.seed.tolist())) == 6
    np.testing.assert_array_equal(got.y.reshape(3, 2, 3), np.stack(3 * [y.y]))


def test_a_measured_part_is_kept_for_the_same_run_and_counts(tmp_path, monkeypatch):
    path, calls = tmp_path / "part.json", []
    monkeypatch.setattr(gaussian, "fidelities", lambda run, of, draws: calls.append(run) or {"mean": float(len(calls))})

    def run_of(steps, weight):
        trained = SimpleNamespace(params={"w": np.full(2, weight, np.float32)})
        return SimpleNamespace(
            config=set_fields(load_config("cmde_digits"), {"sampling.steps": steps}), trained=trained
        )

    runs = [run_of(10, 0.0), run_of(10, 0.0), run_of(11, 0.0), run_of(11, 1.0)]
    assert [gaussian.kept(path, run, None)["mean"] for run in runs] == [1.0, 1.0, 2.0, 3.0]
    monkeypatch.setattr(gaussian, "DRAWS", 1)
    assert gaussian.kept(path, runs[-1], None)["mean"] == 4.0


def run(seed, psnr):
    figures = {"psnr": psnr, "draws": 8, "coverage_nominal": 0.778}
    return {f"restoration/{name}": value for name, value in figures.items()} | {"n": 360, "split": "test", "seed": seed}


def test_a_row_is_a_mean_over_seeds_and_a_difference_is_paired():
    """The seeds differ by 10 dB and the methods by 1: unpaired, the difference would be lost in the seeds."""
    runs = {
        "inpainting": {
            "cde": [run(0, 10.0), run(1, 20.0), run(2, 30.0)],
            "cmde": [run(0, 11.1), run(1, 21.0), run(2, 30.9)],
        }
    }
    (head, *rows), caption = page.glance(runs, ("restoration/psnr",))
    assert head == ["task", "estimator", "PSNR ↑"]
    # 10 / sqrt(3) is the standard error of the mean of 10, 20 and 30.
    assert rows[0] == ["inpainting", "CDE", "20.0 ± 5.8"]
    assert "360 images of the split test, 8 draws each; 3 seeds." in caption
    (_, *rows), _ = page.differences(runs, ("restoration/psnr",))
    # Student's 4.303 of two degrees of freedom, times 0.1 / sqrt(3).
    assert rows == [["inpainting", "CMDE", "**1.00 [0.75, 1.25]**"]]


def test_the_figure_has_a_row_for_each_name_and_white_lines_between_images():
    image = page.tiled({"truth": np.zeros((3, 8, 6, 1)), "CDE": np.zeros((3, 8, 6, 1))})
    assert image.shape == (2 * 9, 3 * 7, 1)
    assert image.sum() == image.size - 2 * 3 * 8 * 6


def test_the_page_has_the_steps_that_were_trained(monkeypatch):
    """Not those of the data's config, which the command may change."""
    said = []
    monkeypatch.setattr(page, "record", lambda name, title, figures, head, rows, notes: said.append(notes))
    monkeypatch.setattr(page, "draw", lambda runs, path: None)
    steps = {"stages.encoder.steps": 7, "stages.prior.steps": 5, "sampling.steps": 3}
    changed = config_of("digits", "cde", "inpainting", 0, steps)
    page.write("name", "digits", {"inpainting": {"cde": [{**run(0, 10.0), "step": 7}]}}, {}, changed)
    assert "; ancestral with 3 steps" in said[0]
    assert " 7 steps of batch 64 each, and 5 of the prior" in said[0]
