"""Errors of products with fewer bits: that of the latent score and of the prior's noise, by noise level.

    python -m benchmarks.speed.precision [--workdir WORKDIR] [--images 64]

A GPU may round the factors of a product of float32 to TF32 (10 bits of mantissa), and a TPU to bfloat16 (7 bits), and both add in float32.
That is done here to every product of a trained ScoreVAE, of its own held-out images, in the gradient of its encoder too. An error is the
norm of the difference over the norm of what float32 gives. Writes benchmarks/results/precision.{json,md}.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxprs_in_params

import sde_vae
from benchmarks.arguments import parser_of
from benchmarks.record import record
from benchmarks.speed.summary import errors
from sde_vae.arrays import keys_of, normal
from sde_vae.data.dataset import to_model
from sde_vae.diffusion.scores import noise_of_score
from sde_vae.diffusion.sdes import diffuse

PRODUCTS = ("dot_general", "conv_general_dilated")
LOOPS = ("scan", "while", "cond")
# Bits of the exponent and of the mantissa.
FORMATS = {"TF32": (8, 10), "bfloat16": (8, 7)}
LOG_SNRS = (-8.0, -6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0)


def with_factors(function: Callable, bits: tuple[int, int]) -> Callable:
    """Return `function` of arrays with the factors of all its products rounded to so many bits, in what it calls as well."""

    def rounded(*inputs: Any) -> Any:
        program, shape = jax.make_jaxpr(function, return_shape=True)(*inputs)
        found = _run(program.jaxpr, program.consts, jax.tree.leaves(inputs), bits)
        return jax.tree.unflatten(jax.tree.structure(shape), found)

    return rounded


def _run(program: Jaxpr, constants: list, inputs: list, bits: tuple[int, int]) -> list:
    values = dict(zip([*program.constvars, *program.invars], [*constants, *inputs], strict=True))
    read = lambda of: of.val if isinstance(of, Literal) else values[of]
    for step in program.eqns:
        got = [read(of) for of in step.invars]
        inner = next((of for of in step.params.values() if isinstance(of, ClosedJaxpr)), None)
        entered = [] if inner is None else [inner.jaxpr]
        if step.primitive.name in LOOPS or [of for of in jaxprs_in_params(step.params) if of not in entered]:
            raise NotImplementedError(f"{step.primitive.name}: its program is not entered")
        if step.primitive.name in PRODUCTS:
            got = [jax.lax.reduce_precision(a, *bits) for a in got]
        if inner is not None:
            found = _run(inner.jaxpr, inner.consts, got, bits)
        else:
            found = step.primitive.bind(*got, **step.params)
        values.update(zip(step.outvars, found if isinstance(found, list | tuple) else [found], strict=True))
    return [read(of) for of in program.outvars]


def measure(run: Any, n: int) -> list[dict[str, float]]:
    """A row a noise level: the errors of both in each format."""
    method, params, frozen = run.experiment.final.method, run.trained.params, run.frozen
    sde = run.experiment.decoder.sde
    x = jnp.asarray(to_model(run.images("test", n), run.levels))
    z = method.encode(params, frozen, x).mean
    eps = normal(keys_of(jax.random.key(0), jnp.arange(n)), x)

    def latent_score(params: Any, frozen: Any, x_t: jax.Array, t: jax.Array) -> jax.Array:
        return method.score(params, frozen, z)(x_t, t) - method.unconditional(params, frozen)(x_t, t)

    def noise(params: Any, frozen: Any, x_t: jax.Array, t: jax.Array) -> jax.Array:
        return noise_of_score(sde, method.unconditional(params, frozen)(x_t, t), t)

    rows = []
    for log_snr in LOG_SNRS:
        t = sde.t_of_log_snr(jnp.full(n, log_snr))
        inputs = (params, frozen, diffuse(sde, x, t, eps), t)
        row = {"log_snr": log_snr}
        for name, function in (("latent score", latent_score), ("noise", noise)):
            exact = jax.jit(function)(*inputs)
            for of, bits in FORMATS.items():
                found = jax.jit(with_factors(function, bits))(*inputs)
                row[f"{name}, {of}"] = float(jnp.linalg.norm(found - exact) / jnp.linalg.norm(exact))
        rows.append(row)
    return rows


def main() -> None:
    parser = parser_of("benchmarks.speed.precision", __doc__)
    parser.add_argument("--workdir", default="digits", help="a trained ScoreVAE; digits ships with the package")
    parser.add_argument("--images", type=int, default=64)
    options = parser.parse_args()
    rows = measure(sde_vae.load(options.workdir), options.images)
    (head, *lines), caption = errors(rows)
    notes = f"{caption} The latent score is the gradient in x_t of log q(z | x_t); {options.images} held-out images of {options.workdir}."
    record("precision", "Error of products with fewer bits", {"rows": rows}, head, lines, notes)


if __name__ == "__main__":
    main()
