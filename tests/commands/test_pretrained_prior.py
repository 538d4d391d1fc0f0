"""A model that diffusers wrote, as the prior of a run: trained on, evaluated alone, kept, released, exported; and what is refused."""

import json
import shutil

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

import sde_vae
from sde_vae.build.config import set_fields
from sde_vae.cli import main
from sde_vae.commands.release import release
from sde_vae.errors import BadInput
from tests.helpers.rarely import rarely

SIZES = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D",) * 2,
    "up_block_types": ("UpBlock2D",) * 2,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": None,
}
SMALL = {
    "model.encoder.channels": 8,
    "model.encoder.multipliers": (1,),
    "model.latent_dim": 2,
    "stages.encoder.steps": 3,
    "stages.encoder.batch_size": 8,
    "stages.encoder.warmup": 1,
    "stages.encoder.preview_every": 0,
    "sampling.steps": 2,
    "eval.n": 8,
    "eval.samples": 8,
    "eval.evaluators": ("samples", "bits_per_dim"),
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "ddpm"
    torch.manual_seed(0)
    model = UNet2DModel(sample_size=8, in_channels=1, out_channels=1, **SIZES)
    DDPMPipeline(unet=model, scheduler=DDPMScheduler(num_train_timesteps=100)).save_pretrained(folder)
    return folder


def config_of(checkpoint, name="scorevae_digits", **changes):
    return set_fields(sde_vae.load_config(name), SMALL | {"prior.checkpoint": str(checkpoint)} | changes)


@pytest.fixture(scope="module")
def run(pipeline, tmp_path_factory):
    """ScoreVAE on the model, whose own files are gone afterwards."""
    root = tmp_path_factory.mktemp("runs")
    copy = shutil.copytree(pipeline, root / "copy")
    assert sde_vae.train(config_of(copy), root / "score_vae")
    shutil.rmtree(copy)
    return root / "score_vae"


def theirs(pipeline, x, t):
    model = UNet2DModel.from_pretrained(pipeline / "unet")
    with torch.no_grad():
        found = model(torch.from_numpy(np.moveaxis(x, -1, 1).copy()), torch.from_numpy(t)).sample
    return np.moveaxis(found.numpy(), 1, -1)


def test_load_prior_gives_the_noise_of_diffusers_at_its_own_steps(pipeline):
    prior = sde_vae.load_prior(pipeline)
    assert (prior.image_shape, prior.sde.T) == ((8, 8, 1), 99)
    x = np.random.default_rng(0).standard_normal((3, 8, 8, 1)).astype(np.float32)
    for t in (np.array([0.0, 50.0, 99.0], np.float32), np.array([3.5, 10.25, 98.9], np.float32)):
        noise = prior.noise(x, t)
        np.testing.assert_allclose(noise, theirs(pipeline, x, t), atol=1e-4)
        sigma = np.sqrt(1 - np.interp(t, np.arange(100), np.cumprod(1 - np.linspace(1e-4, 0.02, 100))))
        if np.all(t == np.round(t)):
            np.testing.assert_allclose(prior.score(x, t), -noise / sigma[:, None, None, None], rtol=1e-4)
    assert prior.sample(2, steps=3).shape == (2, 8, 8, 1)


@pytest.mark.parametrize(
    ("x", "t", "field"), [((2, 8, 8, 3), 1.0, "x:"), ((2, 8, 8, 1), [1.0], "t:"), ((2, 8, 8, 1), 100.0, "t:")], ids=str
)
def test_what_a_prior_refuses(pipeline, x, t, field):
    with pytest.raises(BadInput, match=field):
        sde_vae.load_prior(pipeline).noise(np.zeros(x, np.float32), np.asarray(t, np.float32))


def test_a_run_keeps_the_model_and_its_prior_is_a_prior_again(pipeline, run):
    loaded = sde_vae.load(run)
    assert loaded.reconstruct(loaded.images("test", 2), seed=0).shape == (2, 8, 8, 1)
    again, first = sde_vae.load_prior(run), sde_vae.load_prior(pipeline)
    jax.tree.map(np.testing.assert_array_equal, again.params, first.params)
    x = np.zeros((1, 8, 8, 1), np.float32)
    np.testing.assert_array_equal(again.noise(x, 7.0), first.noise(x, 7.0))


@pytest.mark.slow
def test_another_run_stands_on_its_workdir(run, tmp_path):
    assert sde_vae.train(config_of(run), tmp_path / "other")
    assert not (tmp_path / "other" / "prior").exists()
    assert np.isfinite(sde_vae.load(tmp_path / "other").bits_per_dim(np.zeros((1, 8, 8, 1)), draws=1).total)


@pytest.mark.parametrize("method", ["pigdm", *rarely("dps", "bayes")])
def test_restorations_stand_on_it(pipeline, tmp_path, method):
    """Bayes' rule for observations takes the loaded prior as it is: its parameters are those of the files."""
    changes = {"method": method, "eval.evaluators": ("restoration",)}
    assert sde_vae.train(config_of(pipeline, "cmde_digits", **changes), tmp_path)
    loaded, prior = sde_vae.load(tmp_path), sde_vae.load_prior(pipeline)
    found = loaded.frozen["prior"] if method == "bayes" else loaded.trained.params
    jax.tree.map(np.testing.assert_array_equal, found, prior.params)
    restored = loaded.restore(loaded.observe(loaded.images("test", 2)), n=2)
    assert restored.shape == (2, 2, 8, 8, 1)
    assert np.std(restored) > 0


@pytest.mark.slow
def test_a_released_run_decodes_alike(run, tmp_path):
    release(run, tmp_path / "small")
    z = np.zeros((2, 2), np.float32)
    found, kept = (sde_vae.load(of).decode(z, seed=0) for of in (tmp_path / "small", run))
    np.testing.assert_allclose(found, kept, atol=0.02)  # half precision


@pytest.mark.slow
def test_the_model_alone_is_evaluated_by_one_command(pipeline, tmp_path, capsys):
    changes = {name: value for name, value in SMALL.items() if name.startswith(("eval.", "sampling."))}
    words = [
        f"--config.{name}={','.join(value) if isinstance(value, tuple) else value}" for name, value in changes.items()
    ]
    words += [
        "--config",
        "prior_digits",
        "--mode",
        "eval",
        f"--config.prior.checkpoint={pipeline}",
        "--workdir",
        str(tmp_path / "alone"),
    ]
    assert main(words) == 0
    found = json.loads((tmp_path / "alone" / "eval" / "metrics.json").read_text())
    assert min(found["bits_per_dim/total"], found["samples/fd_pixels"]) > 0
    assert "latent_dim" not in found
    assert "diffusers" in capsys.readouterr().out
    assert (
        main(
            [
                "--mode",
                "encode",
                "--workdir",
                str(tmp_path / "alone"),
                "--input",
                "test",
                "--output",
                str(tmp_path / "codes.npz"),
            ]
        )
        == 2
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"data.image_size": 16},
            "config.data: got examples of 16x16x1, but the pre-trained prior makes 8x8x1",
        ),
        ({"data.channels": 3}, "config.data: got examples of 8x8x3, but the pre-trained prior makes 8x8x1"),
        (
            {"stages.correction.steps": 3, "model.correction.body": "head"},
            "config.model.correction.body: got head, expected unet",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_before_anything_is_written(pipeline, tmp_path, changes, said):
    with pytest.raises(BadInput, match=said):
        sde_vae.train(config_of(pipeline, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_description_is_refused(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    file = copy / "prior" / "pretrained.json"
    file.write_text(file.read_text().replace('"noise"', '"velocity"'))
    with pytest.raises(BadInput, match="its checksum is wrong"):
        sde_vae.load(copy).experiment  # noqa: B018


def test_export_writes_the_model_that_was_loaded(pipeline, run, tmp_path, capsys):
    assert main(["--mode", "export", "--workdir", str(run), "--output", str(tmp_path / "out")]) == 0
    x, t = np.random.default_rng(1).standard_normal((2, 8, 8, 1)).astype(np.float32), np.array([3, 98])
    np.testing.assert_array_equal(theirs(tmp_path / "out", x, t), theirs(pipeline, x, t))
    back, first = (sde_vae.load_prior(of) for of in (tmp_path / "out", pipeline))
    jax.tree.map(np.testing.assert_array_equal, back.params, first.params)
    np.testing.assert_allclose(back.sde.log_snrs, first.sde.log_snrs, rtol=1e-9)
    # Nothing is overwritten.
    assert main(["--mode", "export", "--workdir", str(run), "--output", str(tmp_path / "out")]) == 2


@pytest.mark.parametrize(
    ("workdir", "said"),
    [("digits", "the prior's network is unet, which diffusers' UNet2DModel cannot hold")],
    ids=["unet"],
)
def test_export_of_what_diffusers_cannot_hold_is_refused(workdir, said, tmp_path, capsys):
    assert main(["--mode", "export", "--workdir", workdir, "--output", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_unet2d_trained_here_is_the_same_model_in_diffusers(tmp_path):
    """The embedding of logSNR becomes a table of one row a step: at every whole step both give the same noise."""
    changes = {f"stages.prior.{name}": value for name, value in (("steps", 2), ("batch_size", 8), ("warmup", 1))}
    changes |= {
        "model.prior.body": "unet2d",
        "model.prior.channels": 8,
        "model.prediction": "noise",
        "prior.checkpoint": "",
    }
    assert sde_vae.train(config_of("", "prior_digits", **changes), tmp_path / "own")
    assert main(["--mode", "export", "--workdir", str(tmp_path / "own"), "--output", str(tmp_path / "out")]) == 0
    ours, back = sde_vae.load_prior(tmp_path / "own"), sde_vae.load_prior(tmp_path / "out")
    x, steps = np.random.default_rng(2).standard_normal((4, 8, 8, 1)).astype(np.float32), np.array([0, 1, 500, 999])
    t = np.asarray(ours.sde.t_of_log_snr(back.sde.log_snr(jax.numpy.asarray(steps, np.float32))))
    expected = ours.noise(x, np.clip(t, ours.sde.t_min, ours.sde.T))
    np.testing.assert_allclose(back.noise(x, steps), expected, atol=1e-4)
    np.testing.assert_allclose(theirs(tmp_path / "out", x, steps), expected, atol=1e-4)


@pytest.mark.parametrize("content", ["nothing", "a text file"])
def test_a_path_that_is_no_model_is_refused_with_the_formats(tmp_path, content):
    path = tmp_path / "model"
    path.mkdir() if content == "nothing" else path.write_text("no model")
    with pytest.raises(BadInput, match="is not a model that we know"):
        sde_vae.load_prior(path)
    with pytest.raises(BadInput, match="is not a model that we know"):
        sde_vae.train(config_of(path), tmp_path / "run")
