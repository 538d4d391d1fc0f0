"""A model hands each function of its method the parameters that are its own, and then those of the stages below."""

from functools import partial

import jax.numpy as jnp
import pytest

from sde_vae.diffusion.sdes import VP
from sde_vae.inference.decoding import Decoder
from sde_vae.inference.model import ModelParams, make_model
from sde_vae.methods.method import Method
from sde_vae.solvers.grids import uniform_t
from sde_vae.solvers.stochastic import ancestral

PARAMS = ModelParams("own", "frozen", "of the latent prior")
Z = jnp.zeros((2, 1))
GIVEN = {"encode": "x", "score": Z, "likelihood": "z", "labelled": "label", "prior": None, "latent_prior": None}


def model_of(method, **more):
    sde = VP()
    decoder = Decoder(sde, ancestral, uniform_t(sde, 2))
    return make_model("title", method, PARAMS, decoder, decoder, **more)


def said(*inputs):
    """A function, as a score is, that holds what the function of the method was given."""
    return partial(print, *inputs)


@pytest.mark.parametrize("name", GIVEN)
def test_each_function_has_its_parameters_in_their_order(name):
    method = Method(lambda key: {}, said, encode=said, score=said, likelihood=said, unconditional=said, labelled=said)
    given = () if GIVEN[name] is None else (GIVEN[name],)
    expected = ("of the latent prior", {}) if name == "latent_prior" else ("own", "frozen", *given)
    assert getattr(model_of(method, latent=method), name)(PARAMS, *given).args == expected


@pytest.mark.parametrize("name", GIVEN)
def test_what_a_method_lacks_its_model_lacks(name):
    assert getattr(model_of(Method(lambda key: {}, said)), name) is None


def test_below_a_log_snr_the_score_is_the_priors():
    """And above it the conditional one."""
    score = lambda value: lambda *_: lambda x, t: jnp.full_like(x, value)
    method = Method(lambda key: {}, said, score=score(1.0), unconditional=score(2.0))
    sde, x = VP(), jnp.zeros((2, 3))
    t = sde.t_of_log_snr(jnp.array([-4.0, 4.0]))
    assert model_of(method, prior_below=0.0).score(PARAMS, Z)(x, t)[:, 0].tolist() == [2.0, 1.0]
    assert model_of(method).score(PARAMS, Z)(x, t)[:, 0].tolist() == [1.0, 1.0]
