"""What JAX compiles, and what its cache of compiled programs holds."""

import contextlib

import jax

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
