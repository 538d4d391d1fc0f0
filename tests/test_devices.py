"""Functions of many examples give the same result on any number of devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.arrays import expand, keys_of
from sde_vae.devices import over_devices, replicate
from sde_vae.inference.bound import as_mass, method_bound, prior_bound, terms_per_image
from sde_vae.inference.compiled import compile_model
from sde_vae.inference.decoding import Decoder
from sde_vae.inference.model import ModelParams, make_model
from sde_vae.solvers.exponential import ddim
from sde_vae.solvers.grids import uniform_log_snr
from sde_vae.solvers.ode import ode
from sde_vae.solvers.step import rescale
from sde_vae.solvers.stochastic import ancestral
from tests.helpers.small import LATENT, SDE, SHAPE, awake, image_batch, image_methods

N = 11  # no number of devices but 1 divides it


@pytest.mark.parametrize("n", [1, 7, 8, 19])
def test_rows_are_those_of_one_call(n):
    def scaled(params, key, x, index):
        noise = jax.vmap(lambda k: jax.random.normal(k, (2,)))(keys_of(key, index))
        return {"y": params["w"][None] * x + noise, "i": index}

    shared = ({"w": np.arange(2.0, dtype=np.float32)}, jax.random.key(0))
    rows = (np.random.default_rng(0).standard_normal((n, 2), np.float32), np.arange(n, dtype=np.int32))
    found = partial(over_devices(scaled, shared=2), *replicate(shared))(*rows)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), found, scaled(*shared, *map(jnp.asarray, rows)))


def test_each_device_computes_its_part():
    found = over_devices(lambda x: x * len(x))(np.ones(16, np.float32))
    assert len(found.sharding.device_set) == 8
    np.testing.assert_array_equal(found, np.full(16, 2.0))


def test_parameters_that_are_placed_are_not_moved_again():
    w = replicate({"w": np.ones(3, np.float32)})
    scaled = over_devices(lambda w, x: w["w"][None] * x, shared=1)
    x = np.ones((16, 3), np.float32)
    with jax.transfer_guard("disallow"):
        scaled(w, x)
    with pytest.raises(Exception, match="Disallowed"), jax.transfer_guard("disallow"):
        scaled({"w": np.ones(3, np.float32)}, x)


def small_model(solver):
    prior, method = image_methods()
    keys = jax.random.split(jax.random.key(3), 2)
    params = ModelParams(awake(method.init(keys[0]), 0.3), {"prior": awake(prior.init(keys[1]), 0.3)})
    grid = uniform_log_snr(SDE, 4)
    ends = Decoder(SDE, solver, grid), Decoder(SDE, ddim(), grid, rescale)
    return make_model("small", method, replicate(params), *ends)


def everything():
    """What a trained model computes of N images: name -> array."""
    model = small_model(ancestral)
    run = compile_model(model, SHAPE, LATENT, batch_size=2)
    x, index, key = np.asarray(image_batch(N).x), np.arange(N, dtype=np.int32), jax.random.key(5)
    q = run.encode(x)
    of_bound = partial(terms_per_image, None, x=x, x_z=x[::-1].copy(), draws=3, seed=0, batch_size=2)
    return {
        "mean": q.mean,
        "log_var": q.log_var,
        "decode": run.decode(key, q.mean, index),
        "decode from x_T": run.decode(key, q.mean, index, x_T=x),
        "invert": run.invert(q.mean, x),
        "sample": run.sample(key, index),
        "trajectory": run.trajectory(key, q.mean, index),
        **of_bound(method_bound(model, as_mass(256))),
        **{f"prior's {name}": value for name, value in of_bound(prior_bound(model, as_mass(256))).items()},
    }


def adaptive():
    """Decodings by a solver with as many steps as each example needs, of a smooth score: in a rough one, rounding adds steps."""

    def score(params, z):
        mean = z[:, :1, None, None]
        return lambda x, t: (expand(SDE.alpha(t), x) * mean - x) / expand(1 - 0.9 * SDE.alpha(t) ** 2, x)

    run = compile_model(small_model(ode())._replace(score=score), SHAPE, LATENT, batch_size=2)
    z = np.random.default_rng(0).standard_normal((N, LATENT), np.float32)
    return {"decode": run.decode(jax.random.key(5), z, np.arange(N, dtype=np.int32))}


@pytest.mark.parametrize(("compute", "n"), [pytest.param(everything, 8, marks=pytest.mark.slow), (adaptive, 3)])
def test_a_model_gives_the_same_on_any_number_of_devices(compute, n, use_devices):
    use_devices(1)
    expected = compute()
    use_devices(n)
    found = compute()
    for name, value in expected.items():
        # The order of sums may differ.
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-4 * np.abs(value).max(), err_msg=name)


@pytest.mark.parametrize("closed_over", [np.ones(2**13, np.float32), jnp.ones(2**13), jax.random.key(0)], ids=type)
def test_the_suite_notices_what_a_program_closes_over(closed_over):
    def uses(x):
        used = (
            jax.random.key_data(closed_over) if jnp.issubdtype(closed_over.dtype, jax.dtypes.prng_key) else closed_over
        )
        return x + jnp.sum(used)

    with pytest.raises(AssertionError, match="closes over"):
        over_devices(uses)(np.ones(8, np.float32))
