"""What is exported is loaded by diffusers itself, gives the same output there, and comes back unchanged."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffusers import DDIMPipeline, DDPMPipeline, DDPMScheduler

from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP
from sde_vae.errors import BadInput, NotWritten
from sde_vae.nets.network import network
from sde_vae.nets.unet2d import UNet2D
from sde_vae.nets.unet2d_options import UNet2DOptions, options_from
from sde_vae.pretrained import diffusers_export
from sde_vae.pretrained.diffusers import find
from sde_vae.pretrained.diffusers_export import export_unet2d, log_snrs_of
from sde_vae.pretrained.parts import parts_of
from tests.helpers.diffusers_models import GOOGLE, SMALL, apply, options_of, output, random_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

OPTIONS = UNet2DOptions(**SMALL, time_embedding_type="log_snr")


@pytest.fixture(scope="module")
def params():
    """Of a network that is not at its initial values, where its output is zero."""
    fresh = network(UNet2D(OPTIONS), (8, 8, 3)).init(jax.random.key(0))
    return jax.tree.map(lambda a: a + 0.1 * np.random.default_rng(0).standard_normal(a.shape).astype(np.float32), fresh)


@pytest.mark.parametrize("sde", [VP(), CosineVP()], ids=["vp", "cosine_vp"])
def test_a_network_of_log_snr_is_the_same_at_diffusers_steps(tmp_path, params, sde):
    levels = log_snrs_of(sde, steps=40)
    notes = export_unet2d(tmp_path / "out", OPTIONS, params, levels, "velocity", clip_sample=True)
    assert notes == ("the embedding of logSNR is written as a learned table of 40 rows, one a step",)
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "out")
    bars = np.asarray(pipeline.scheduler.alphas_cumprod, np.float64)
    np.testing.assert_allclose(np.log(bars) - np.log1p(-bars), levels, rtol=1e-3, atol=1e-3)
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.scheduler.config.clip_sample
    steps = np.array([0, 17, 39])
    x = np.random.default_rng(1).standard_normal((3, 8, 8, 3)).astype(np.float32)
    expected = output(pipeline.unet, x, steps)
    assert np.std(expected) > 0.3
    np.testing.assert_allclose(apply(OPTIONS, params, x, jnp.asarray(levels)[steps]), expected, atol=2e-5)


def test_both_pipelines_of_diffusers_sample_from_it(tmp_path, params):
    export_unet2d(tmp_path / "out", OPTIONS, params, log_snrs_of(VP(), steps=40), "noise")
    for pipeline in (DDPMPipeline, DDIMPipeline):
        loaded = pipeline.from_pretrained(tmp_path / "out")
        loaded.set_progress_bar_config(disable=True)
        images = loaded(batch_size=2, num_inference_steps=4, output_type="np").images
        assert images.shape == (2, 8, 8, 3)
        assert np.all(np.isfinite(images))


def test_it_comes_back_unchanged(tmp_path, params):
    levels = log_snrs_of(VP(), steps=40)
    export_unet2d(tmp_path / "out", OPTIONS, params, levels, "noise")
    found = find(tmp_path / "out")
    table = found.read()
    rows = table.pop("time_proj")["weight"]
    jax.tree.map(np.testing.assert_array_equal, table, params)
    assert rows.shape == (40, 8)
    assert options_from(found.spec.options) == OPTIONS._replace(time_embedding_type="learned", num_train_timesteps=40)
    # The betas are written in float64.
    np.testing.assert_allclose(parts_of(found.spec).sde.log_snrs, levels, rtol=1e-9)


def test_a_loaded_model_is_exported_as_it_was(tmp_path):
    model = random_model(**GOOGLE)
    DDPMPipeline(model, DDPMScheduler(clip_sample=False)).save_pretrained(tmp_path / "in")
    found = find(tmp_path / "in")
    levels = log_snrs_of(parts_of(found.spec).sde)
    assert export_unet2d(tmp_path / "out", options_from(found.spec.options), found.read(), levels, "noise") == ()
    again = DDPMPipeline.from_pretrained(tmp_path / "out")
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), again.unet.state_dict()[name].numpy())
    assert options_of(again.unet) == options_of(model)
    # The schedule is one that diffusers has by name.
    assert again.scheduler.config.trained_betas is None
    np.testing.assert_array_equal(again.scheduler.alphas_cumprod, DDPMScheduler().alphas_cumprod)
    assert find(tmp_path / "out").spec == found.spec


@pytest.mark.parametrize("sde", [VE(), SubVP()])
def test_an_sde_that_does_not_keep_the_variance_is_refused(sde):
    with pytest.raises(BadInput, match=f"a prior of {type(sde).__name__} cannot be exported.*expected vp or cosine_vp"):
        log_snrs_of(sde)


def test_what_cannot_be_exported_is_refused_and_nothing_is_written(tmp_path, params, monkeypatch):
    levels, folder = log_snrs_of(VP(), steps=10), tmp_path / "out"
    with pytest.raises(BadInput, match=r"config.model.prediction: got 'flow'"):
        export_unet2d(folder, OPTIONS, params, levels, "flow")
    with pytest.raises(BadInput, match="sample_size"):
        export_unet2d(folder, OPTIONS._replace(sample_size=None), params, levels, "noise")
    with pytest.raises(BadInput, match="beta is not between 0 and 1"):
        export_unet2d(folder, OPTIONS, params, (3.0, -60.0), "noise")

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(diffusers_export, "save_file", fails)
    with pytest.raises(NotWritten, match="No space left"):
        export_unet2d(folder, OPTIONS, params, levels, "noise")
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())
    folder.mkdir()
    (folder / "mine.json").write_text(json.dumps({}))
    with pytest.raises(BadInput, match="exists; give a folder that does not"):
        export_unet2d(folder, OPTIONS, params, levels, "noise")
