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

from sde_vae import pictures
from sde_vae.arrays import keys_of, normal
from sde_vae.data.dataset import take, to_model, to_unit
from sde_vae.evaluators.codes import draw_codes, train_codes
from sde_vae.evaluators.subject import Subject
from sde_vae.metrics.images import standard_error
from sde_vae.metrics.regressions import REGRESSIONS
from sde_vae.pictures import Panel
from sde_vae.scores import denoised_of_noise, noise_of_score
from sde_vae.sdes import SDE, diffuse, log_snr_range
from sde_vae.streaming import stream
from sde_vae.types import Indices, Latents, PerExample, Points, ScoreFn

# Levels of logSNR, evenly spaced from the highest noise to HIGH, above which little is left to tell.
LEVELS, HIGH = 9, 8.0
# Training images of the regressions, and test images: the kernel's cost grows with the cube of the first.
FITTED, TOLD = 2_000, 2_000
# The mean square of what rounding moves images on [0, 1] by: less is nothing.
ROUNDING = float((10 * np.finfo(np.float32).eps) ** 2)
Named = Iterator[tuple[str, float]]


def noise_levels(subject: Subject) -> Named:
    """noise_level/LOGSNR/mse, .../prior_mse, .../best_guidance and .../guided_mse, with that guidance; from_z/linear_mse, ...: of images
    in [0, 1], z ~ q(z | x_0), with standard errors.
    """
    test = subject.data.test[:TOLD]
    z = draw_codes(subject.encode(test), np.random.default_rng(subject.seed))
    known = {name: np.square(x - to_unit(test)).mean(axis=(1, 2, 3)) for name, x in _from_z(subject, z).items()}
    for name, errors in known.items():
        yield f"from_z/{name}_mse", float(errors.mean())
        yield f"from_z/{name}_mse_stderr", standard_error(errors)
    if subject.model.score is None:
        return
    low, high = log_snr_range(subject.model.decoder.sde)
    levels = np.linspace(low, min(high, HIGH), LEVELS)
    found = _errors(subject, levels, test, z)
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
        f"{subject.model.title}: error of E[x_0 | x_t, z]", "logSNR", "mse", lines, drawn, log_y=True, log_x=False
    )
    pictures.lines([panel], subject.pictures / "noise_levels.png")


def _from_z(subject: Subject, z: np.ndarray) -> dict[str, np.ndarray]:
    """Regression -> the test images, [n, H, W, C] on [0, 1]."""
    rows, q = train_codes(subject, FITTED)
    images = to_unit(to_model(take(subject.data.train, rows), subject.data.levels))
    train_z, train_x = (
        draw_codes(q, np.random.default_rng(subject.seed + 1)).astype(np.float64),
        images.reshape(len(images), -1),
    )
    predict = lambda regression: regression(train_z, train_x.astype(np.float64), z.astype(np.float64))
    return {name: predict(regression).reshape(len(z), *images.shape[1:]) for name, regression in REGRESSIONS.items()}


def _errors(subject: Subject, levels: np.ndarray, test: np.ndarray, z: np.ndarray) -> dict[str, np.ndarray]:
    """Of each image at each level, [n, levels], all of the same noise: mse; with a prior, prior_mse and `moved`, the square of what z
    changes.
    """
    sde, model = subject.model.decoder.sde, subject.model
    names = ("mse",) if model.prior is None else ("mse", "prior_mse", "moved")
    # A pixel is half as long in [0, 1] as in [-1, 1].
    square = lambda d: jnp.mean(jnp.square(d), axis=tuple(range(1, d.ndim))) / 4

    @jax.jit
    def errors(x: Points, z: Latents, index: Indices) -> jax.Array:
        eps = normal(keys_of(jax.random.key(subject.seed), index), x)

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
    found = stream(errors, subject.batch_size, test, z, index, label="noise levels", parts=subject.parts)
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
