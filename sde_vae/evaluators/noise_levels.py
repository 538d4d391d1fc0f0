"""The error of E[x_0 | x_t, z] at each noise level: with z, with z shuffled over the images, and without z.

At high noise x_t carries no information and E[x_0 | x_t, z] equals E[x_0 | z], the decoding of z alone. Regressions of the images on
z give what z contains: where the model's error is above theirs, z contains more than the model uses.

A conditional score may correct errors of its own prior with a z that knows nothing of the image. So an error below the prior's is no
proof of information in z: only an error below that with shuffled z is.

For a method with a prior, the best guidance of each level is the factor on the change by z that makes the error smallest, a
regression in closed form. Where it is 1, no guidance improves E[x_0 | x_t, z].
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
from sde_vae.evaluators.shuffled import shuffled_order
from sde_vae.inference.aggregate_posterior import sample_posterior
from sde_vae.inference.model import ModelParams
from sde_vae.keys import generator
from sde_vae.methods.method import required
from sde_vae.metrics.image.distances import standard_error
from sde_vae.metrics.latent.regressions import REGRESSIONS
from sde_vae.reporting import plots
from sde_vae.reporting.plots import Line, Panel
from sde_vae.types import Indices, Latents, PerExample, Points, PRNGKey, ScoreFn

# The mean square of a rounding error on [0, 1]: a smaller change by z is none.
ROUNDING = float((10 * np.finfo(np.float32).eps) ** 2)
LABELS = {"mse": "with z", "shuffled_mse": "with z shuffled over the images", "prior_mse": "prior, without z"}
Named = Iterator[tuple[str, float]]


def noise_levels(
    context: EvalContext, levels: int = 9, max_log_snr: float = 8.0, images: int = 2_000, fitted: int = 2_000
) -> Named:
    """Yield mean squared errors of images on [0, 1], with standard errors over the images; z ~ q(z | x_0).

    noise_level/L/mse            of E[x_0 | x_t, z] at logSNR L
    noise_level/L/shuffled_mse   each image with the z of another one
    noise_level/L/prior_mse      of the prior's E[x_0 | x_t]
    noise_level/L/best_guidance  the guidance with the least error, and that error as guided_mse
    from_z/REGRESSION_mse        of a regression of the image on z

    `levels` values of logSNR are evenly spaced from the SDE's lowest to `max_log_snr`, above which x_t determines x_0. The first `images`
    test images are used; `fitted` training images fit the regressions, whose cost grows with their cube.
    """
    test = context.data.test[:images]
    z = sample_posterior(context.encode(test), generator(context.seed, "posterior"))
    from_z = {name: _squares(x - to_unit(test)) for name, x in _regressions(context, z, fitted).items()}
    for name, errors in from_z.items():
        yield f"from_z/{name}_mse", float(errors.mean())
        yield f"from_z/{name}_mse_stderr", standard_error(errors)
    if context.model.score is None:
        return
    low, high = log_snr_range(context.model.decoder.sde)
    log_snrs = np.linspace(low, min(high, max_log_snr), levels)
    found = _errors(context, log_snrs, test, z)
    for i, log_snr in enumerate(log_snrs):
        at_level = {name: errors[:, i] for name, errors in found.items()}
        for name in ("mse", "prior_mse", "shuffled_mse"):
            if name in at_level:
                yield f"noise_level/{log_snr:.1f}/{name}", float(at_level[name].mean())
                yield f"noise_level/{log_snr:.1f}/{name}_stderr", standard_error(at_level[name])
        if "change" in at_level:
            best = _best_guidance(at_level["mse"], at_level["prior_mse"], at_level["change"])
            yield from ((f"noise_level/{log_snr:.1f}/{name}", value) for name, value in best.items())
    lines: dict[str, Line] = {
        label: (log_snrs.tolist(), found[name].mean(axis=0).tolist()) for name, label in LABELS.items() if name in found
    }
    constants = {f"from z alone, {name}": float(errors.mean()) for name, errors in from_z.items()}
    title = f"{context.model.title}: error of E[x_0 | x_t, z]"
    panel = Panel(title, "logSNR", "mse", lines, constants, log_y=True, log_x=False)
    plots.lines([panel], context.figures / "noise_levels.png")


def _squares(difference: np.ndarray) -> np.ndarray:
    return np.square(difference).mean(axis=(1, 2, 3))


def _regressions(context: EvalContext, z: np.ndarray, fitted: int) -> dict[str, np.ndarray]:
    """Return regression -> its predictions of the test images from z, [n, H, W, C] on [0, 1]."""
    rows, q = encode_train(context, fitted)
    images = to_unit(to_model(take(context.data.train, rows), context.data.levels))
    train_z = sample_posterior(q, generator(context.seed, "posterior of training images")).astype(np.float64)
    train_x = images.reshape(len(images), -1).astype(np.float64)
    predict = lambda regression: regression(train_z, train_x, z.astype(np.float64))
    return {name: predict(regression).reshape(len(z), *images.shape[1:]) for name, regression in REGRESSIONS.items()}


def _errors(context: EvalContext, log_snrs: np.ndarray, test: np.ndarray, z: np.ndarray) -> dict[str, np.ndarray]:
    """Return name -> one value for each image at each level, [n, levels], all with the same noise.

    mse; shuffled_mse for two images or more; with a prior also prior_mse and `change`, the mean square of what z changes.
    """
    sde, model = context.model.decoder.sde, context.model
    names = ("mse",) if model.prior is None else ("mse", "prior_mse", "change")
    # A pixel's error on [0, 1] is half of that on [-1, 1].
    square = lambda d: jnp.mean(jnp.square(d), axis=tuple(range(1, d.ndim))) / 4

    def over_levels(key: PRNGKey, x: Points, index: Indices, values) -> jax.Array:
        """values(x_t, t) -> [k, batch], at every level: [batch, levels, k]."""
        eps = normal(keys_of(key, index), x)

        def at(log_snr: jax.Array) -> jax.Array:
            t = sde.t_of_log_snr(jnp.full(x.shape[:1], log_snr))
            return values(diffuse(sde, x, t, eps), t)

        return jnp.moveaxis(jax.lax.map(at, jnp.asarray(log_snrs, x.dtype)), -1, 0)

    def own(params: ModelParams, key: PRNGKey, x: Points, z: Latents, index: Indices) -> jax.Array:
        score = required(model.score, "score")(params, z)

        def values(x_t: Points, t: PerExample) -> jax.Array:
            with_z = _denoised(sde, score, x_t, t)
            if model.prior is None:
                return square(with_z - x)[None]
            without = _denoised(sde, model.prior(params), x_t, t)
            return jnp.stack([square(with_z - x), square(without - x), square(with_z - without)])

        return over_levels(key, x, index, values)

    def shuffled(params: ModelParams, key: PRNGKey, x: Points, z: Latents, index: Indices) -> jax.Array:
        score = required(model.score, "score")(params, z)
        return over_levels(key, x, index, lambda x_t, t: square(_denoised(sde, score, x_t, t) - x)[None])

    index = np.arange(len(test), dtype=np.int32)
    found = context.map(context.compile("noise_levels", own), "noise levels", test, z, index)
    errors = {name: found[..., i] for i, name in enumerate(names)}
    if len(test) > 1:
        other = z[shuffled_order(len(z), context.seed)]
        of_other = context.map(
            context.compile("noise_levels", shuffled), "noise levels, z shuffled", test, other, index
        )
        errors["shuffled_mse"] = of_other[..., 0]
    return errors


def _denoised(sde: SDE, score: ScoreFn, x_t: Points, t: PerExample) -> Points:
    return denoised_of_noise(sde, noise_of_score(sde, score(x_t, t), t), x_t, t)


def _best_guidance(mse: np.ndarray, prior_mse: np.ndarray, change: np.ndarray) -> dict[str, float]:
    """Return the factor g that makes the mean of |e - g c|^2 least, its standard error, and that least mean; none if z changes nothing.

    e is the prior's error of an image and c what z changes; given are |e - c|^2, |e|^2 and |c|^2, each [n].
    """
    if change.mean() <= ROUNDING:
        return {}
    product = (prior_mse + change - mse) / 2  # e . c
    best = float(product.mean() / change.mean())
    return {
        "best_guidance": best,
        "best_guidance_stderr": standard_error(product - best * change) / float(change.mean()),
        "guided_mse": float(prior_mse.mean() - best**2 * change.mean()),
    }
