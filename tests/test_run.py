"""The door: a trained run in the hand, from Python."""

import json
import re
import shutil

import jax
import numpy as np
import pytest

import sde_vae
from sde_vae.build import parameters
from sde_vae.build.config import load_config, set_fields
from sde_vae.cli import main as cli
from sde_vae.commands.evaluate import evaluate_run
from sde_vae.commands.release import main as release
from sde_vae.errors import BadInput
from sde_vae.files import json_crc32

NETS = {
    f"model.{net}.{field}": value
    for net in ("prior", "encoder")
    for field, value in (("channels", 8), ("multipliers", (1,)))
}
STAGES = {
    f"stages.{stage}.{field}": value
    for stage in ("prior", "encoder")
    for field, value in (("steps", 4), ("checkpoint_every", 4), ("log_every", 2), ("warmup", 1))
}
REST = {"model.latent_dim": 3, "sampling.steps": 3, "eval.n": 9, "eval.samples": 16, "eval.batch_size": 8}
SMALL = NETS | STAGES | REST
SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run, trained from Python."""
    directory = tmp_path_factory.mktemp("run")
    assert sde_vae.train(set_fields(load_config("scorevae_digits"), SMALL), directory)
    return sde_vae.load(directory)


@pytest.fixture(scope="module")
def images(trained):
    return trained.images("test", 5)


def test_five_lines(trained, images):
    q = trained.encode(images)
    assert q.mean.shape == q.log_var.shape == (5, 3)
    x = trained.decode(q.mean, seed=0, steps=2)
    assert (x.shape, x.dtype) == ((5, *SHAPE), np.float32)
    assert 0 <= x.min() <= x.max() <= 1


def test_images_come_as_bytes_or_as_floats(trained):
    """0 to 255 whatever grey levels the data have: the same codes as of the floats."""
    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), np.uint8)
    np.testing.assert_allclose(trained.encode(images).mean, trained.encode(images / 255).mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(trained.encode(images[..., 0]).mean, trained.encode(images).mean)


def test_calls_are_reproducible_and_seeds_differ(trained, images):
    for call in (lambda **k: trained.sample(5, **k), lambda **k: trained.reconstruct(images, **k)):
        np.testing.assert_array_equal(call(seed=3), call(seed=3))
        np.testing.assert_array_equal(call(), call(seed=trained.config.seed))
        assert np.any(call(seed=3) != call(seed=4))


def test_an_image_does_not_depend_on_its_batch(trained, images):
    """Up to rounding: 5 images are padded to 8, two are not."""
    z = trained.encode(images).mean
    np.testing.assert_allclose(trained.encode(images[:2]).mean, z[:2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(trained.decode(z[:2]), trained.decode(z)[:2], atol=1e-4)
    np.testing.assert_allclose(trained.sample(2), trained.sample(5)[:2], atol=1e-4)


def compilations(work):
    """How many programs `work` compiles."""
    count = []
    listen = lambda event, duration, **_: count.append(event) if event.endswith("backend_compile_duration") else None
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        work()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return len(count)


def test_other_batches_and_seeds_do_not_compile_again(trained, images):
    z = trained.encode(images).mean
    work = lambda n, seed: (trained.encode(images[:n]), trained.decode(z[:n], seed=seed), trained.sample(n, seed=seed))
    work(5, 0)
    assert compilations(lambda: [work(n, seed) for n, seed in ((5, 1), (3 + 3 - 1, 2), (5, 9))]) == 0
    work(4, 0)
    assert compilations(lambda: work(3, 7)) == 0


def test_solver_steps_guidance_and_noise_can_be_given(trained, images):
    z = trained.encode(images).mean
    plain = trained.decode(z)
    for change in ({"steps": 7}, {"solver": "ddim"}, {"guidance": 2.0}, {"x_T": np.ones((5, *SHAPE))}):
        assert np.any(trained.decode(z, **change) != plain)
    same = trained.decode(z, steps=3, solver="ancestral", guidance=1.0)
    np.testing.assert_array_equal(same, plain)


def test_interpolation_begins_and_ends_at_the_images_codes(trained, images):
    a, b = images[:2]
    path = trained.interpolate(a, b, frames=4)
    assert path.shape == (4, *SHAPE)
    z = trained.encode(images[:2]).mean
    # All frames have the noise of index 0.
    np.testing.assert_allclose(path[0], trained.decode(z[:1])[0], atol=1e-4)
    np.testing.assert_allclose(path[-1], trained.decode(z[1:])[0], atol=1e-4)
    assert trained.interpolate(images, images[::-1], frames=3).shape == (5, 3, *SHAPE)


def test_traversal_moves_one_dimension(trained, images):
    path = trained.traverse(images[0], dim=1)
    assert path.shape == (9, *SHAPE)
    z = trained.encode(images[:1]).mean
    np.testing.assert_allclose(path[4], trained.decode(z)[0], atol=1e-4)
    moved = z.copy()
    moved[0, 1] = 2.0
    np.testing.assert_allclose(trained.traverse(images[0], 1, [2.0])[0], trained.decode(moved)[0], atol=1e-4)
    assert trained.traverse(images, dim=0, values=[0.0, 1.0]).shape == (5, 2, *SHAPE)


def test_inversion_gives_the_noise_from_which_its_solver_makes_the_image(tmp_path, trained, images):
    fine = sde_vae.load(trained.workdir, {"sampling.steps": 60})
    found = fine.invert(images)
    assert found.x_T.shape == found.reconstruction.shape == images.shape
    assert np.abs(found.reconstruction - images).mean() < 0.02


def test_bits_per_dim_are_the_sum_of_their_terms_and_those_of_the_evaluation(trained):
    """One call on the images of an evaluation, in one batch as there, gives what the evaluation reports."""
    evaluation = evaluate_run(
        sde_vae.load(trained.workdir, {"eval.evaluators": ("bits_per_dim",), "eval.name": "bound"})
    )
    data = trained.experiment.load()
    bound = trained.bits_per_dim(data.split("test").images[:9].astype(np.float32) / 16)
    np.testing.assert_allclose(bound.total, bound.kl + bound.prior + bound.diffusion + bound.reconstruction, rtol=1e-5)
    for term in bound._fields:
        np.testing.assert_allclose(getattr(bound, term).mean(), evaluation.metrics[f"bits_per_dim/{term}"], rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda r: r.encode(np.zeros((2, 9, 8, 1))),
            r"images: got an array of shape \(2, 9, 8, 1\), expected \[n, 8, 8, 1\]",
        ),
        (lambda r: r.encode(np.zeros((2, 8, 8, 3))), r"expected \[n, 8, 8, 1\]"),
        (lambda r: r.encode(np.zeros((0, 8, 8, 1))), "n at least 1"),
        (lambda r: r.encode(np.full((1, 8, 8, 1), 1.5)), r"got values from 1.5 to 1.5, expected floats in \[0, 1\]"),
        (lambda r: r.encode(np.full((1, 8, 8, 1), -0.1)), r"expected floats in \[0, 1\]"),
        (lambda r: r.encode(np.full((1, 8, 8, 1), np.nan)), "values that are not finite"),
        (lambda r: r.encode(np.zeros((1, 8, 8, 1), np.int32)), "got int32, expected uint8"),
        (lambda r: r.encode("a.png"), r"got an array of shape \(\)"),
        (lambda r: r.decode(np.zeros((2, 5))), r"z: got an array of shape \(2, 5\), expected \[n, 3\]"),
        (lambda r: r.decode(np.full((1, 3), np.inf)), "z: got values that are not finite"),
        (
            lambda r: r.decode(np.zeros((2, 3)), x_T=np.zeros((1, 8, 8, 1))),
            r"x_T: got an array of shape \(1, 8, 8, 1\)",
        ),
        (lambda r: r.decode(np.zeros((1, 3)), steps=0), "config.sampling.steps: got 0, expected a whole number from 1"),
        (lambda r: r.decode(np.zeros((1, 3)), solver="heunn"), "did you mean 'heun'"),
        (lambda r: r.sample(0), "n: got 0"),
        (lambda r: r.sample(1, start=-1), "start: got -1"),
        (lambda r: r.sample(1, seed=-1), "seed: got -1, expected a whole number from 0"),
        (lambda r: r.reconstruct(np.zeros((1, *SHAPE)), seed=2**32), "seed: got 4294967296"),
        (lambda r: r.images("test", 0), "n: got 0"),
        (lambda r: r.images("none"), "no 'none'"),
        (lambda r: r.bits_per_dim(np.zeros((1, *SHAPE)), draws=0), "draws: got 0"),
        (lambda r: r.decode(np.zeros((1, 3)), x_T=np.full((1, *SHAPE), np.nan)), "x_T: got values that are not finite"),
        (lambda r: r.traverse(np.zeros(SHAPE), dim=0, values=[]), r"values: got \[\], expected one or more"),
        (lambda r: sde_vae.load(r.workdir, {"sampling.solver": "xx"}), "config.sampling.solver: unknown name 'xx'"),
        (
            lambda r: r.interpolate(np.zeros((2, 8, 8, 1)), np.zeros((3, 8, 8, 1))),
            "b: got 3 images, expected as many as in a, 2",
        ),
        (lambda r: r.interpolate(np.zeros(SHAPE), np.zeros(SHAPE), frames=1), "frames: got 1"),
        (lambda r: r.traverse(np.zeros(SHAPE), dim=3), "dim: got 3, expected a latent dimension, 0 to 2"),
        (lambda r: r.bits_per_dim(np.full((1, 8, 8, 1), 0.53)), "the data's 17 grey levels"),
        (lambda r: sde_vae.load(r.workdir, {"model.latent_dim": 4}), "config.model.latent_dim: got 4, but"),
        (lambda r: sde_vae.load(r.workdir, {"sampling.stepz": 4}), "did you mean config.sampling.steps"),
        (lambda r: sde_vae.load(r.workdir / "none"), "is not a trained run"),
    ],
)
def test_what_cannot_be_used_is_refused(trained, call, message):
    with pytest.raises(BadInput, match=message):
        call(trained)


def test_samples_have_numbers(trained):
    """Those that begin at 3 are the ones that follow the first 3."""
    np.testing.assert_allclose(trained.sample(2, start=3), trained.sample(5)[3:], atol=1e-4)


def test_a_run_that_is_finished_keeps_the_facts_of_its_training(trained):
    path = trained.workdir / "config.json"
    made = json.loads(path.read_text())
    path.write_text(json.dumps(made | {"command": "python main.py --mode train"}))
    assert sde_vae.train(trained.config, trained.workdir)
    assert json.loads(path.read_text())["command"] == "python main.py --mode train"


def test_loading_reads_nothing_but_the_config(trained, tmp_path):
    """A workdir without checkpoints loads, and says what it lacks at the first use."""
    (tmp_path / "config.json").write_text((trained.workdir / "config.json").read_text())
    run = sde_vae.load(tmp_path)
    with pytest.raises(BadInput, match="expected checkpoints of the stage 'encoder'"):
        run.sample(1)


def test_a_config_that_is_none_is_refused_in_a_line(tmp_path):
    for text in (b"", b"{}", b"[1]", b"\xff\xfe", json.dumps({"config": {"unknown": 1}}).encode()):
        (tmp_path / "config.json").write_bytes(text)
        with pytest.raises(BadInput, match=r"config\.json|unknown"):
            sde_vae.load(tmp_path)


def test_an_encoder_of_another_prior_is_neither_used_nor_evaluated_nor_released(trained, tmp_path, capsys):
    """Its checkpoint says that it stood on other parameters."""
    copy = tmp_path / "copy"
    shutil.copytree(trained.workdir, copy, ignore=shutil.ignore_patterns("eval", "tb"))
    (path,) = copy.glob("encoder/checkpoints/*/meta/metadata")
    meta = json.loads(path.read_text())
    meta["record"]["stands_on"]["prior"]["digest"] = 16 * "0"
    del meta["crc32"]
    path.write_text(json.dumps(meta | {"crc32": json_crc32(meta)}))
    message = f"--workdir: the stage encoder in {copy} was trained on the prior at step 4, and that is at step 4, with other parameters"
    with pytest.raises(BadInput, match=re.escape(message)):
        _ = sde_vae.load(copy).model
    assert cli(["--mode", "eval", "--workdir", str(copy)]) == 2
    assert release([str(copy), str(tmp_path / "released")]) == 2
    assert capsys.readouterr().err.count(message) == 2
    assert not list(tmp_path.glob("released/*"))
    assert not (copy / "eval" / "metrics.json").exists()


def test_an_unfinished_stage_is_said(trained):
    assert trained.unfinished() == []
    longer = sde_vae.load(trained.workdir, {"stages.encoder.steps": 9})
    assert longer.unfinished() == ["note: the stage encoder is at step 4 of 9: its training is not finished"]


@pytest.mark.slow
def test_parameters_are_placed_once_whatever_the_settings(monkeypatch):
    placed = []
    place = parameters.replicate
    monkeypatch.setattr(parameters, "replicate", lambda tree: placed.append(tree) or place(tree))
    run = sde_vae.load("digits")
    z = np.zeros((1, 16), np.float32)
    for steps in (1, 2):
        run.decode(z, steps=steps)
    run.bits_per_dim(run.images("test", 1), draws=1)
    assert len(placed) == 1
