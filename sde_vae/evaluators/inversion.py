"""Encode the held-out images into z and x_T, the noise that the probability-flow ODE makes of them, and decode both."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.reconstruction import SHOWN, compare
from sde_vae.inference.decoding import COUNTED, evaluations
from sde_vae.reporting import plots


def inversion(context: EvalContext) -> Iterator[tuple[str, float]]:
    """What z leaves out is in x_T: with both, a reconstruction is exact up to the solver's error.

    Beside its distances, how close the x_T found are to the noise that decoding starts from: their mean and deviation, over
    images and pixels, in units of sigma(T).
    """
    model, test = context.model, context.data.test
    z = context.encode(test).mean
    x_T, x = np.moveaxis(context.invert(z, test, "invert"), 1, 0)
    yield from compare("inversion", context, to_unit(x), to_unit(test))
    sde = model.inverter.sde
    noise = x_T / float(sde.sigma(jnp.full(1, sde.T))[0])
    yield "inversion/noise_mean", float(noise.mean())
    yield "inversion/noise_std", float(noise.std())
    # As many upwards as there are downwards.
    yield "inversion/nfe", float(evaluations(model.inverter, model.score(z[:COUNTED]), test[:COUNTED].shape))
    shown = {"original": to_unit(test), "from z and its x_T": to_unit(x), "x_T": to_unit(noise / 2)}
    plots.rows({name: images[:SHOWN] for name, images in shown.items()}, context.figures / "inversion.png")
