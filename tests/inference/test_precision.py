"""Bounds and likelihoods are in float32, whatever precision the networks train and decode in."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.build.nets import EXACT
from sde_vae.build.parameters import trained_model
from sde_vae.data.dataset import to_model
from sde_vae.devices import replicate
from sde_vae.diffusion.sdes import VP, diffuse
from sde_vae.evaluators.bits_per_dim import bits_per_dim
from sde_vae.evaluators.context import EvalData, MetricNetworks, make_context
from sde_vae.evaluators.elbo_vs_steps import elbo_vs_steps
from sde_vae.evaluators.importance import importance
from sde_vae.inference.bound import as_mass, method_bound, prior_bound, terms_per_image
from sde_vae.inference.model import ModelParams, in_float32
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.nets.layers import DownPath
from tests.helpers.programs import traced_only
from tests.helpers.rarely import rarely
from tests.helpers.small import awake

NETS = ("prior", "encoder", "decoder", "correction", "shift")
TINY = {f"model.{net}.channels": 4 for net in NETS} | {f"model.{net}.multipliers": (1,) for net in NETS}
ARITHMETIC = {"float32": EXACT, "bfloat16": {"model.dtype": "bfloat16", "model.precision": "default"}}
PICTURES = np.random.default_rng(0).integers(0, 17, (8, 8, 8, 1), np.uint8)


def models(dtype, **more):
    """The model of a tiny config with the same parameters, whatever its dtype; with bfloat16 its products have the device's precision."""
    config = set_fields(load_config("scorevae_digits"), TINY | {"model.latent_dim": 2} | ARITHMETIC[dtype] | more)
    experiment = build(config)
    made = {stage.name: awake(stage.method.init(jax.random.key(0))) for stage in experiment.stages}
    frozen = {name: made[name] for name in experiment.final.depends_on}
    return trained_model(experiment, replicate(ModelParams(made[experiment.final.name], frozen)))


@pytest.mark.parametrize(
    "more", [{}, *rarely({"stages.correction.steps": 1}, {"method": "diff_decoder"}, {"method": "pdae"})]
)
def test_a_bound_is_the_same_program_whatever_the_dtype(tmp_path, monkeypatch, more):
    """Its text has no bfloat16, and equals that of float32. Decodings, of which no bound is made, keep the dtype."""
    programs, texts = traced_only(monkeypatch), {}
    # Samples, not bounds.
    monkeypatch.setattr("sde_vae.evaluators.elbo_vs_steps.iterated_decoding", lambda *_: iter(()))
    for dtype in ("float32", "bfloat16"):
        model = models(dtype, **more)
        data = EvalData("none", "0" * 64, 17, PICTURES, PICTURES[:4], to_model(PICTURES[:4], 17))
        networks, cache = MetricNetworks({}, None, {}, tmp_path), ResumeCache(tmp_path / dtype, {})
        context = make_context(model, data, networks, cache, 2, 4, 16, 0)
        of_prior = partial(elbo_vs_steps, steps=(2,), fitted=2, draws=1)
        for evaluator in (partial(bits_per_dim, draws=1), partial(importance, draws=4, steps=2), of_prior):
            if model.prior is not None or evaluator is not of_prior:
                list(evaluator(context))
        texts[dtype] = [program.text for program in programs]
        programs.clear()
        context.decode(np.zeros((4, 2), np.float32), np.arange(4, dtype=np.int32))
        assert ("bf16" in programs.pop().text) == (dtype == "bfloat16")
    assert texts["float32"] == texts["bfloat16"]
    assert not [text for text in texts["bfloat16"] if "bf16" in text]


def test_a_bound_is_the_same_to_the_last_bit():
    x = to_model(PICTURES[:2], 17)
    found = {}
    for dtype in ("float32", "bfloat16"):
        model = models(dtype)
        assert (in_float32(model) is model) == (dtype == "float32")
        found[dtype] = [
            terms_per_image(None, of(model, as_mass(17)), x, x, 1, 0, 8) for of in (method_bound, prior_bound)
        ]
    for one, other in zip(*found.values(), strict=True):
        assert {name: values.tolist() for name, values in one.items()} == {
            name: v.tolist() for name, v in other.items()
        }


def test_the_first_convolution_sees_the_noise_of_the_smallest_time():
    """bfloat16 rounds x_t by more than that noise. What the convolution returns is rounded, but a difference of pixels is small."""
    sde, net = VP(t_min=1e-5), DownPath(4, (1,), 0, (), 0.0, jnp.bfloat16)
    eps = jax.random.normal(jax.random.key(0), (1, 16, 16, 1))
    x = diffuse(sde, jnp.full(eps.shape, 0.7), jnp.full(1, sde.t_min), eps)
    w = jnp.zeros((3, 3, 1, 4)).at[1, 0].set(-1.0).at[1, 1].set(1.0)
    params = {"Conv3x3_0": {"kernel": w, "bias": jnp.zeros(4)}}
    difference = net.apply({"params": params}, x, jnp.zeros((1, 16)), None)[0].astype(jnp.float32)[:, :, 1:, 0]
    exact = sde.sigma(jnp.full(1, sde.t_min))[0] * (eps[:, :, 1:] - eps[:, :, :-1])[..., 0]
    assert jnp.sqrt(jnp.mean((difference - exact) ** 2) / jnp.mean(exact**2)) < 0.01
    rounded = x.astype(jnp.bfloat16).astype(jnp.float32)
    assert jnp.std(rounded - x) > 0.5 * sde.sigma(jnp.full(1, sde.t_min))[0]
