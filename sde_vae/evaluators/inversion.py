"""Encode the held-out images into z and x_T, the noise that the probability-flow ODE assigns to them, and decode both."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.reconstruction import image_distances
from sde_vae.inference.decoding import COUNTED, evaluations
from sde_vae.methods.method import required
from sde_vae.reporting import plots


def inversion(context: EvalContext, shown: int = 12) -> Iterator[tuple[str, float]]:
    """Yield inversion/DISTANCE of the images decoded from z and their own x_T: exact up to the solver's error.

    inversion/noise_mean and noise_std are the mean and deviation of the x_T over images and pixels, in units of sigma(T): 0 and 1 if they
    are like the noise that decoding starts from. The figure has the first `shown` images.
    """
    model, test = context.model, context.data.test
    z = context.encode(test).mean
    x_T, x = np.moveaxis(context.invert(z, test, "invert"), 1, 0)
    yield from image_distances("inversion", context, to_unit(x), to_unit(test))
    sde = model.inverter.sde
    noise = x_T / float(sde.sigma(jnp.full(1, sde.T))[0])
    yield "inversion/noise_mean", float(noise.mean())
    yield "inversion/noise_std", float(noise.std())
    # Of the decoding; the inversion takes as many.
    score = required(model.score, "score")(model.params, z[:COUNTED])
    yield "inversion/nfe", float(evaluations(model.inverter, score, test[:COUNTED].shape))
    rows = {
        "original": to_unit(test),
        "decoded from z and its x_T": to_unit(x),
        "x_T, at half contrast": to_unit(noise / 2),
    }
    plots.rows({name: images[:shown] for name, images in rows.items()}, context.figures / "inversion.png")
