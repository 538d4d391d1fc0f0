"""Mutants that change nothing that is promised, and why."""

# (file, part of the mutant as `mutants` names it) -> why it is equivalent.
EQUIVALENT = {
    (
        "sde_vae/solvers/ode.py",
        "1e-7 -> 1.25e-07",
    ): "the shortest step is a limit of float32, of which the first digit is free",
    ("sde_vae/methods/method.py", "0 -> 1"): "a key of which only the shape is taken",
    ("sde_vae/solvers/heun.py", "-> y - s_noise"): "the noise that is added has the law of its negative",
    ("sde_vae/solvers/evaluations.py", "jnp.zeros_like(x) -> "): "the function is traced for its name, and never run",
    ("sde_vae/methods/observation.py", "constant: 2 -> 3"): "the number of a stream of keys, which no other has either",
    ("sde_vae/inference/aggregate_posterior.py", "2048 -> 2049"): "how many images are in memory at once",
    ("sde_vae/evaluators/importance.py", "-> min(len(data.test), images)"): "the smaller of two, whichever comes first",
    ("sde_vae/bounds/terms.py", "-> jnp.linspace(1.0, -1.0"): "a sum over the levels, from the other end",
    ("sde_vae/nets/initialisers.py", "-> (n - 1).bit_length() * 2"): "a longer draw begins with the same numbers",
}


def reason(mutant: str) -> str:
    """Return why a mutant is equivalent, or "" for one that is not."""
    return next((why for (path, part), why in EQUIVALENT.items() if mutant.startswith(path) and part in mutant), "")
