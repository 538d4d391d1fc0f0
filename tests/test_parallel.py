"""plain = jit = pmap = data = fsdp, on any number of devices."""

from functools import partial

import jax
import numpy as np
import pytest

from sde_vae.errors import BadInput
from sde_vae.parallel import longest_divisible, parallelise
from sde_vae.train_state import adam, init_state, make_update
from tests.small import awake, image_batch, image_methods


def run(update, method, optimiser, frozen, load=lambda batch: batch, steps=2):
    state = init_state(method, optimiser, jax.random.key(1))
    for step in range(steps):
        state, metrics = update(state, frozen, jax.random.key(2), load(image_batch(16, seed=step)))
    return jax.device_get((state.params, state.ema_params, metrics))


@pytest.fixture(scope="module", params=["prior", "score_vae"])
def case(request):
    """A method, and what one device without jit makes of it. The prior has dropout, so its randomness is tried too."""
    p, method = image_methods(dropout=0.3)
    method, frozen = (p, None) if request.param == "prior" else (method, awake(p.init(jax.random.key(0))))
    optimiser = adam(1e-3, 100, 2, 1.0, "cosine")
    make = partial(make_update, method, optimiser, 0.99)
    return make, method, optimiser, frozen, run(make(None), method, optimiser, frozen)


@pytest.mark.parametrize(
    ("mode", "devices"), [("jit", 1), *((m, n) for m in ("pmap", "data", "fsdp") for n in (1, 2, 8))]
)
def test_the_same_numbers(case, mode, devices):
    make, method, optimiser, frozen, plain = case
    update = jax.jit(make(None)) if mode == "jit" else parallelise(make, mode, 16, jax.devices()[:devices])
    got = run(update, method, optimiser, frozen, load=jax.device_get)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(plain), strict=True):
        # Adam divides by the root of the second moment: where a gradient is all rounding, its sign is rounding too.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5, err_msg=jax.tree_util.keystr(path))


def test_a_batch_that_the_devices_do_not_divide_is_refused():
    with pytest.raises(BadInput, match=r"got 12, which 8 devices do not divide; take a multiple of 8"):
        parallelise(lambda axis: None, "pmap", 12, jax.devices())


def test_an_unknown_mode_lists_the_known():
    with pytest.raises(BadInput, match=r"unknown name 'ddp'; known: data, fsdp, pmap"):
        parallelise(lambda axis: None, "ddp", 16, jax.devices())


def test_fsdp_splits_the_longest_dimension_that_divides():
    spec = lambda *shape: tuple(longest_divisible(shape, 8))
    assert spec(3, 3, 64, 128) == (None, None, None, "devices")
    assert spec(16, 10) == ("devices", None)
    assert spec(5, 7) == spec() == ()
