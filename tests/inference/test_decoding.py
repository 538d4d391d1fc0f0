"""Decoding from a random, an inverted and a given x_T; how its evaluations are counted, and how it is configured."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import keys_of
from sde_vae.build.config import load_config
from sde_vae.build.experiment import build
from sde_vae.diffusion.sdes import VP
from sde_vae.errors import BadInput
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.decoding import Decoder, decode, evaluations, invert, invert_and_decode, start, trajectory
from sde_vae.solvers.exponential import ddim, dpm_solver_pp_2m
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.heun import heun
from sde_vae.solvers.step import rescale
from sde_vae.solvers.stochastic import ancestral, euler_maruyama
from tests.helpers.oracles import LinearGaussian

SDE = VP()
WORLD = LinearGaussian.random(jax.random.key(0))
INDEX = jnp.arange(6)


def decoder(solver, steps, **changes):
    return Decoder(SDE, solver, uniform_log_snr(SDE, steps), **changes)


def test_a_given_x_T_takes_the_place_of_the_random_one(x64):
    score, key = WORLD.marginal_score(SDE), jax.random.key(1)
    keys, x_T = start(SDE, key, jnp.zeros((6, 3)), INDEX)
    d = decoder(euler_maruyama, 5)
    np.testing.assert_array_equal(decode(d, score, keys, x_T)[2:4], decode(d, score, keys[2:4], x_T[2:4]))
    assert np.abs(decode(d, score, keys, -x_T) - decode(d, score, keys, x_T)).min() > 1e-3


@pytest.mark.parametrize(("solver", "order"), [(ddim(), 1), (heun(), 2), (dpm_solver_pp_2m(), 2)])
def test_an_inverted_x_T_gives_the_image_back_to_the_solvers_order(x64, solver, order):
    score, keys = WORLD.marginal_score(SDE), keys_of(jax.random.key(1), INDEX)
    x_0, _ = WORLD.sample(jax.random.key(2), 6)
    steps, errors = np.array([40, 80, 160]), []
    for n in steps:
        x_T, x = np.moveaxis(invert_and_decode(decoder(solver, int(n), finish=rescale), score, keys, x_0), 1, 0)
        errors.append(np.abs(x - x_0).max())
        np.testing.assert_allclose(x_T, invert(decoder(solver, int(n)), score, keys, x_0))
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    # Errors of the two directions may cancel: the order is at least the solver's.
    assert slope < -order + 0.25, errors


def test_evaluations_are_counted_with_the_last_denoising():
    count = lambda solver, **changes: evaluations(decoder(solver, 7, **changes), WORLD.marginal_score(SDE), (2, 3))
    assert count(euler_maruyama) == count(dpm_solver_pp_2m()) == 8
    assert count(heun()) == 15
    assert count(heun(), finish=rescale) == 14


def test_an_odd_last_batch_does_not_compile_again(one_device):
    score = WORLD.marginal_score(SDE)
    run = jax.jit(
        lambda i: decode(decoder(ddim(), 3), score, *start(SDE, jax.random.key(0), jnp.zeros((len(i), 3)), i))
    )
    out = batched_map(run, 4, np.arange(10, dtype=np.int32))
    assert out.shape == (10, 3)
    assert run._cache_size() == 1
    np.testing.assert_array_equal(out[8:], batched_map(run, 4, np.arange(8, 12, dtype=np.int32))[:2])


@pytest.mark.parametrize("solver", [ancestral, dpm_solver_pp_2m()])
def test_a_trajectory_is_that_of_the_decoding(x64, solver):
    score = WORLD.marginal_score(SDE)
    keys, x_T = start(SDE, jax.random.key(1), jnp.zeros((6, 3)), INDEX)
    d = decoder(solver, 20)
    path = trajectory(d, 5, score, keys, x_T)
    assert path.shape == (6, 5, 2, 3)
    np.testing.assert_allclose(path[:, -1, 1], decode(d, score, keys, x_T), rtol=1e-10)
    # Fewer steps than stops: all of them.
    assert trajectory(decoder(ddim(), 2), 5, score, keys, x_T).shape == (6, 3, 2, 3)


@pytest.mark.parametrize(
    ("changes", "evaluated"),
    [
        ({"solver": "euler_maruyama"}, 6),
        ({"solver": "reverse_diffusion"}, 6),
        ({"solver": "ancestral", "grid": "edm"}, 6),
        ({"solver": "predictor_corrector", "corrector_steps": 2}, 16),
        ({"solver": "ddim", "eta": 0.5}, 6),
        ({"solver": "heun", "churn": 2.0}, 11),
        ({"solver": "dpm_solver_pp_2m", "eta": 1.0, "grid": "uniform_t"}, 6),
    ],
)
def test_every_solver_is_there_by_name(changes, evaluated):
    config = load_config("scorevae_digits")
    config.sampling.steps = 5
    config.sampling.update(changes)
    experiment = build(config)
    assert evaluations(experiment.decoder, lambda x, t: -x, (2, 3)) == evaluated


def test_the_adaptive_solver_finds_its_own_steps():
    config = load_config("scorevae_digits")
    config.sampling.solver = config.sampling.inverter = "ode"
    loose = build(config)
    config.sampling.rtol = config.sampling.atol = 1e-6
    tight = build(config)
    # Data of unit variance, for which the score of VP is -x, would need no steps at all.
    count = lambda experiment: evaluations(experiment.decoder, lambda x, t: -4 * x, (2, 3))
    assert 5 < count(loose) < count(tight) < 1000


def test_an_inverter_must_be_deterministic():
    config = load_config("scorevae_digits")
    config.sampling.inverter = "ancestral"
    with pytest.raises(
        BadInput, match=r"config.sampling.inverter: unknown name 'ancestral'; known: ddim, dpm_solver_pp_2m"
    ):
        build(config)
