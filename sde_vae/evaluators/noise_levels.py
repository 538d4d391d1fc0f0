"""What z is worth at each noise level: how well x_0 is told from x_t, with z and without.

At high noise x_t says nothing, and E[x_0 | x_t, z] is E[x_0 | z]: what the decoder makes of z alone. Beside it stand regressions of
the images on z, which say what is in z to be made something of. Where the model is above them, z knows more than the model uses.
"""

from collections.abc import Callable, Iterator

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
from sde_vae.sdes import diffuse, log_snr_range
from sde_vae.streaming import stream
from sde_vae.types import Indices, Latents, Points, ScoreFn

# Levels of logSNR, evenly spaced from the highest noise to HIGH, above which little is left to tell.
LEVELS, HIGH = 9, 8.0
# Training images of the regressions, and test images: the kernel's cost grows with the cube of the first.
FITTED, TOLD = 2_000, 2_000
Named = Iterator[tuple[str, float]]


def noise_levels(subject: Subject) -> Named:
    """noise_level/LOGSNR/mse, and .../prior_mse; from_z/linear_mse, ...: of images in [0, 1], z ~ q(z | x_0), with standard errors."""
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
    scores = {"mse": subject.model.score}
    scores |= {"prior_mse": lambda z: subject.model.prior} if subject.model.prior is not None else {}
    found = {name: _denoised(subject, name, score, levels, test, z) for name, score in scores.items()}
    for name, errors in found.items():
        for level, column in zip(levels, errors.T, strict=True):
            yield f"noise_level/{level:.1f}/{name}", float(column.mean())
            yield f"noise_level/{level:.1f}/{name}_stderr", standard_error(column)
    lines = {
        {"mse": "with z", "prior_mse": "the prior, without z"}[name]: (levels, e.mean(axis=0))
        for name, e in found.items()
    }
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


def _denoised(
    subject: Subject,
    label: str,
    score: Callable[[Latents], ScoreFn],
    levels: np.ndarray,
    test: np.ndarray,
    z: np.ndarray,
) -> np.ndarray:
    """The mse of each image at each level: [n, levels]. All levels and both scores see the same noise."""
    sde = subject.model.decoder.sde

    @jax.jit
    def errors(x: Points, z: Latents, index: Indices) -> jax.Array:
        eps = normal(keys_of(jax.random.key(subject.seed), index), x)

        def at(level: jax.Array) -> jax.Array:
            t = sde.t_of_log_snr(jnp.full(x.shape[:1], level))
            x_t = diffuse(sde, x, t, eps)
            x0_hat = denoised_of_noise(sde, noise_of_score(sde, score(z)(x_t, t), t), x_t, t)
            # A pixel is half as long in [0, 1] as in [-1, 1].
            return jnp.mean(jnp.square(x0_hat - x), axis=tuple(range(1, x.ndim))) / 4

        return jax.lax.map(at, jnp.asarray(levels, x.dtype)).T

    index = np.arange(len(z), dtype=np.int32)
    return stream(errors, subject.batch_size, test, z, index, label=f"noise levels, {label}", parts=subject.parts)
