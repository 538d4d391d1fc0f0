"""What z is worth at each noise level: how well x_0 is told from x_t, with z and without.

At high noise x_t says nothing, and E[x_0 | x_t, z] is E[x_0 | z]: what the decoder makes of z alone. Beside it stand regressions of
the images on z, which say what is in z to be made something of. Where the model is above them, z knows more than the model uses.

Of a method with a prior the best guidance of each level is told too: the factor on what z changes that makes the error least, a
regression in closed form. Where it is 1 no guidance, constant or a function of t, makes a better E[x_0 | x_t, z].
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.arrays import keys_of, normal
from sde_vae.data.dataset import take, to_model, to_unit
from sde_vae.diffusion.scores import denoised_of_noise, noise_of_score
from sde_vae.diffusion.sdes import SDE, diffuse, log_snr_range
from sde_vae.evaluators.context import EvalContext, encode_train
from sde_vae.inference.aggregate_posterior import sample_posterior
from sde_vae.inference.batched_map import batched_map
from sde_vae.metrics.image.distances import standard_error
from sde_vae.metrics.latent.regressions import REGRESSIONS
from sde_vae.reporting import plots
from sde_vae.reporting.plots import Panel
from sde_vae.types import Indices, Latents, PerExample, Points, ScoreFn

# Levels of logSNR, evenly spaced from the highest noise to HIGH, above which little is left to tell.
LEVELS, HIGH = 9, 8.0
# Training images of the regressions, and test images: the kernel's cost grows with the cube of the first.
FITTED, TOLD = 2_000, 2_000
# The mean square of what rounding moves images on [0, 1] by: less is nothing.
ROUNDING = float((10 * np.finfo(np.float32).eps) ** 2)
Named = Iterator[tuple[str, float]]


def noise_levels(context: EvalContext) -> Named:
    """noise_level/LOGSNR/mse, .../prior_mse, .../best_guidance and .../guided_mse, with that guidance; from_z/linear_mse, ...: of images
    in [0, 1], z ~ q(z | x_0), with standard errors.
    """
    test = context.data.test[:TOLD]
    z = sample_posterior(context.encode(test), np.random.default_rng(context.seed))
    known = {name: np.square(x - to_unit(test)).mean(axis=(1, 2, 3)) for name, x in _from_z(context, z).items()}
    for name, errors in known.items():
        yield f"from_z/{name}_mse", float(errors.mean())
        yield f"from_z/{name}_mse_stderr", standard_error(errors)
    if context.model.score is None:
        return
    low, high = log_snr_range(context.model.decoder.sde)
    levels = np.linspace(low, min(high, HIGH), LEVELS)
    found = _errors(context, levels, test, z)
    for i, level in enumerate(levels):
        of_level = {name: errors[:, i] for name, errors in found.items()}
        for name in ("mse", "prior_mse"):
            if name in of_level:
                yield f"noise_level/{level:.1f}/{name}", float(of_level[name].mean())
                yield f"noise_level/{level:.1f}/{name}_stderr", standard_error(of_level[name])
        if "moved" in of_level:
            for name, value in _best_guidance(**of_level).items():
                yield f"noise_level/{level:.1f}/{name}", value
    titles = {"mse": "with z", "prior_mse": "the prior, without z"}
    lines = {titles[name]: (levels, errors.mean(axis=0)) for name, errors in found.items() if name in titles}
    drawn = {f"from z alone, {name}": float(errors.mean()) for name, errors in known.items()}
    panel = Panel(
        f"{context.model.title}: error of E[x_0 | x_t, z]", "logSNR", "mse", lines, drawn, log_y=True, log_x=False
    )
    plots.lines([panel], context.figures / "noise_levels.png")


def _from_z(context: EvalContext, z: np.ndarray) -> dict[str, np.ndarray]:
    """Regression -> the test images, [n, H, W, C] on [0, 1]."""
    rows, q = encode_train(context, FITTED)
    images = to_unit(to_model(take(context.data.train, rows), context.data.levels))
    train_z, train_x = (
        sample_posterior(q, np.random.default_rng(context.seed + 1)).astype(np.float64),
        images.reshape(len(images), -1),
    )
    predict = lambda regression: regression(train_z, train_x.astype(np.float64), z.astype(np.float64))
    return {name: predict(regression).reshape(len(z), *images.shape[1:]) for name, regression in REGRESSIONS.items()}


def _errors(context: EvalContext, levels: np.ndarray, test: np.ndarray, z: np.ndarray) -> dict[str, np.ndarray]:
    """Of each image at each level, [n, levels], all of the same noise: mse; with a prior, prior_mse and `moved`, the square of what z
    changes.
    """
    sde, model = context.model.decoder.sde, context.model
    names = ("mse",) if model.prior is None else ("mse", "prior_mse", "moved")
    # A pixel is half as long in [0, 1] as in [-1, 1].
    square = lambda d: jnp.mean(jnp.square(d), axis=tuple(range(1, d.ndim))) / 4

    @jax.jit
    def errors(x: Points, z: Latents, index: Indices) -> jax.Array:
        eps = normal(keys_of(jax.random.key(context.seed), index), x)

        def at(level: jax.Array) -> jax.Array:
            t = sde.t_of_log_snr(jnp.full(x.shape[:1], level))
            x_t = diffuse(sde, x, t, eps)
            with_z = _denoised(sde, model.score(z), x_t, t)
            if model.prior is None:
                return square(with_z - x)[None]
            without = _denoised(sde, model.prior, x_t, t)
            return jnp.stack([square(with_z - x), square(without - x), square(with_z - without)])

        return jnp.moveaxis(jax.lax.map(at, jnp.asarray(levels, x.dtype)), -1, 0)

    index = np.arange(len(z), dtype=np.int32)
    found = batched_map(errors, context.batch_size, test, z, index, label="noise levels", cache=context.cache)
    return {name: found[..., i] for i, name in enumerate(names)}


def _denoised(sde: SDE, score: ScoreFn, x_t: Points, t: PerExample) -> Points:
    return denoised_of_noise(sde, noise_of_score(sde, score(x_t, t), t), x_t, t)


def _best_guidance(mse: np.ndarray, prior_mse: np.ndarray, moved: np.ndarray) -> dict[str, float]:
    """The factor g on c, what z changes, that makes the mean of |e - g c|^2 least, where e is the prior's error: all [n]."""
    if moved.mean() <= ROUNDING:
        return {}
    # |e - c|^2 is known, and so is then e . c.
    along = (prior_mse + moved - mse) / 2
    best = float(along.mean() / moved.mean())
    error = standard_error(along - best * moved) / float(moved.mean())
    return {
        "best_guidance": best,
        "best_guidance_stderr": error,
        "guided_mse": float(prior_mse.mean() - best**2 * moved.mean()),
    }
