"""What JAX compiles, and what its cache of compiled programs holds."""

import contextlib
from typing import NamedTuple

import jax
import numpy as np

from sde_vae import devices

COMPILED = "/jax/core/compile/backend_compile_duration"


@contextlib.contextmanager
def compilations():
    """The names of the programs that are compiled inside, or loaded from the cache, as a list that grows."""
    names = []

    def listen(event, seconds, **facts):
        if event == COMPILED:
            names.append(facts.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@contextlib.contextmanager
def cache_events():
    """ "hits", "misses" -> their number, which grows."""
    found = {"hits": 0, "misses": 0}

    def listen(event, **facts):
        for name in found:
            found[name] += event == f"/jax/compilation_cache/cache_{name}"

    jax.monitoring.register_event_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_listener(listen)


class Program(NamedTuple):
    """A program that was asked for: its name, the keys that it was given as numbers, and what it computes as text."""

    name: str
    keys: tuple
    text: str


def traced_only(monkeypatch):
    """From now on programs over the devices are traced, not compiled, and return noise. They are listed, in a list that grows."""
    programs, rng = [], np.random.default_rng(0)

    def traced(function, mesh):
        seen = {}

        def run(shared, rows):
            if (size := len(jax.tree.leaves(rows)[0])) not in seen:
                text, shapes = jax.make_jaxpr(lambda shared, rows: function(*shared, *rows), return_shape=True)(
                    shared, rows
                )
                given = [a for a in jax.tree.leaves(shared) if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key)]
                numbers = tuple(tuple(jax.random.key_data(key).tolist()) for key in given)
                name = getattr(getattr(function, "func", function), "__name__", "")
                programs.append(Program(name, numbers, str(text)))
                seen[size] = shapes
            return jax.tree.map(lambda a: 0.1 * rng.standard_normal(a.shape).astype(a.dtype), seen[size])

        return run

    monkeypatch.setattr(devices, "_compiled", traced)
    return programs
