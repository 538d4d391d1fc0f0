"""Restorations: draws of x from p(x | y)."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import keys_of
from sde_vae.devices import over_devices, replicate
from sde_vae.inference.batched_map import batched_map
from sde_vae.keys import stream
from sde_vae.methods.observation import Observe
from sde_vae.types import Condition, Examples, Indices, Points, PRNGKey


def observe_images(
    observe: Observe, x: np.ndarray, seed: int, batch_size: int, index: np.ndarray | None = None
) -> tuple[np.ndarray, Condition]:
    """Return x and what is observed of it, on the host.

    What is random in the observation of an image depends on the seed and on its index alone; by default images count from 0.
    """
    index = np.arange(len(x), dtype=np.int32) if index is None else index

    def of_batch(key: PRNGKey, x: Examples, index: Indices) -> tuple[Points, Condition]:
        return observe(x, keys_of(key, index))

    compiled = partial(over_devices(of_batch, shared=1), replicate(stream(seed, "observe")))
    return batched_map(compiled, batch_size, x, index)


def restore(
    decode: Callable[..., np.ndarray], condition: Condition, draws: int, seed: int, label: str | None = None
) -> np.ndarray:
    """Return so many draws of x given each condition: [n, draws, *shape] on [-1, 1].

    `decode` is that of `inference.compiled.Compiled`. Draw k of condition i depends on the seed, k and i alone.
    """
    index = jnp.arange(len(condition.y), dtype=jnp.int32)
    found = []
    for k in range(draws):
        key, key_y = (jax.random.fold_in(stream(seed, name), k) for name in ("restore", "diffused y"))
        seeds = np.asarray(jax.vmap(jax.random.bits)(keys_of(key_y, index)))
        found.append(
            decode(
                key, condition._replace(seed=seeds), np.asarray(index), label and f"{label}, draw {k + 1} of {draws}"
            )
        )
    return np.stack(found, axis=1)
