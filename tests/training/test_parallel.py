"""plain = jit = pmap = data = fsdp, on any number of devices."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.errors import BadInput
from sde_vae.training.parallel import longest_divisible, parallelise
from sde_vae.training.train_state import adam, cosine, init_state, joined, make_parts
from tests.helpers.small import awake, image_batch, image_methods


def run(update, method, optimiser, frozen, load=lambda batch: batch, steps=2):
    state = init_state(method, optimiser, jax.random.key(1))
    for step in range(steps):
        state, metrics = update(state, frozen, jax.random.key(2), load(image_batch(16, seed=step)))
    return jax.device_get((state.params, state.ema_params, metrics))


def case(name):
    """(make_parts, method, optimiser, frozen). The prior has dropout, so its randomness is tried too."""
    p, method = image_methods(dropout=0.3)
    method, frozen = (p, {}) if name == "prior" else (method, {"prior": awake(p.init(jax.random.key(0)))})
    optimiser = adam(1e-3, 100, 2, 1.0, cosine)
    return partial(make_parts, method, optimiser, 0.99), method, optimiser, frozen


@cache
def plain(name):
    """What one device makes of it, operation by operation, without jit."""
    make, *rest = case(name)
    return run(joined(make(None)), *rest)


# Each compiles a program of its own: every way once at full width, and other device counts across the ways.
@pytest.mark.parametrize(
    ("name", "mode", "devices"),
    [
        pytest.param("score_vae", "jit", 1, marks=pytest.mark.slow),
        pytest.param("score_vae", "pmap", 2, marks=pytest.mark.slow),
        pytest.param("score_vae", "pmap", 8, marks=pytest.mark.slow),
        pytest.param("score_vae", "data", 8, marks=pytest.mark.slow),
        ("score_vae", "fsdp", 8),
        ("prior", "pmap", 8),
        ("prior", "data", 4),
        pytest.param("prior", "fsdp", 2, marks=pytest.mark.slow),
        ("prior", "fsdp in parts", 2),
    ],
)
def test_the_same_numbers(name, mode, devices):
    """In parts: each device takes its share of the batch in four."""
    make, *rest = case(name)
    mode, _, parts = mode.partition(" in ")
    make = partial(make, accumulation=4) if parts else make
    if mode == "jit":
        got = run(jax.jit(joined(make(None))), *rest, load=jax.device_get)
    else:
        parallel = parallelise(make, mode, 16, jax.devices()[:devices])
        placed = lambda s, f, k, batch: parallel.update(*parallel.place((s, f, k)), parallel.place_batch(batch))
        got = run(placed, *rest, load=jax.device_get)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(plain(name)), strict=True):
        # Adam divides by the root of the second moment: where a gradient is all rounding, its sign is rounding too.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5, err_msg=jax.tree_util.keystr(path))


@pytest.mark.parametrize(("parts", "rows"), [(1, 2), (2, 1)])
def test_each_part_has_its_share_of_the_rows(parts, rows):
    """The numbers say nothing of it: they are the same by design."""
    prior, _ = image_methods()
    seen, (make, _, optimiser, frozen) = [], case("prior")

    def loss(params, frozen, key, batch):
        seen.append(batch.x.shape[0])
        total = sum(jnp.sum(a) for a in jax.tree.leaves(params)) * jnp.mean(batch.x)
        return total, {"loss": total}

    method = prior._replace(loss=loss)
    make = partial(make_parts, method, optimiser, 0.99, accumulation=parts)
    parallel = parallelise(make, "pmap", 16, jax.devices(), accumulation=parts)
    run(
        lambda s, f, k, b: parallel.update(*parallel.place((s, f, k)), parallel.place_batch(b)),
        method,
        optimiser,
        frozen,
    )
    assert set(seen) == {rows}


def test_a_batch_that_the_devices_do_not_divide_is_refused():
    with pytest.raises(BadInput, match=r"got 12, which 8 devices do not divide; take a multiple of 8"):
        parallelise(lambda axis: None, "pmap", 12, jax.devices())


def test_a_batch_that_the_parts_do_not_divide_is_refused():
    with pytest.raises(
        BadInput, match=r"got 24, which 8 devices times an accumulation of 2 do not divide; take a multiple of 16, or"
    ):
        parallelise(lambda axis: None, "pmap", 24, jax.devices(), accumulation=2)


def test_an_unknown_mode_lists_the_known():
    with pytest.raises(BadInput, match=r"unknown name 'ddp'; known: data, fsdp, pmap"):
        parallelise(lambda axis: None, "ddp", 16, jax.devices())


def test_fsdp_splits_the_longest_dimension_that_divides():
    spec = lambda *shape: tuple(longest_divisible(shape, 8))
    assert spec(3, 3, 64, 128) == (None, None, None, "devices")
    assert spec(16, 10) == ("devices", None)
    assert spec(5, 7) == spec() == ()
