"""Restore held-out images from what is observed of them, several times each, and compare the draws with the truth and with y."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae.data.dataset import to_unit
from sde_vae.diffusion.losses import seen
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.reconstruction import image_distances
from sde_vae.evaluators.set_distances import enough, fd_name, features
from sde_vae.inference.decoding import COUNTED
from sde_vae.inference.model import ModelParams, latent_evaluations
from sde_vae.inference.restoration import observe_images, restore
from sde_vae.methods.observation import Measurement
from sde_vae.metrics.image.distances import standard_error
from sde_vae.metrics.image.ensembles import coverage, crps, diversity, energy_score, nominal_coverage
from sde_vae.metrics.sets.frechet import frechet_distance, moments
from sde_vae.reporting import plots
from sde_vae.types import Condition, PerExample, Points, PRNGKey

Named = Iterator[tuple[str, float]]


def restoration(context: EvalContext, draws: int = 8, shown: int = 8) -> Named:
    """Yield restoration/*, means over all draws of all images, with standard errors over the images.

    restoration/{l2,mse,psnr,ssim,lpips_*}   of a draw to the truth
    restoration_of_mean/*                    of the mean of the draws
    restoration/consistency                  mean squared error of A(draw) to y, through the operator and the mask that made y; not of pairs
    restoration/diversity                    standard deviation of a pixel over the draws
    restoration/{energy_score,crps}          proper scores of the draws as a distribution
    restoration/coverage                     share of the unseen pixels between the extreme draws; *_nominal is that of true posterior draws
    restoration/{fd_*,joint_fd_*}            Frechet distance of the draws to the images; and of the pairs (y, x), features joined

    Images are on [0, 1]. The figure has the first `shown` images.
    """
    measurement = _measurement(context)
    x, condition = observe_images(measurement.observe, context.data.test, context.seed, context.batch_size)
    found = restore(context.decode_with, condition, draws, context.seed, "restore")
    truth, restored, mean = to_unit(x), to_unit(found), to_unit(found.mean(axis=1))
    yield from image_distances("restoration", context, restored.reshape(-1, *x.shape[1:]), truth, draws)
    yield from image_distances("restoration_of_mean", context, mean, truth)
    of_image = {"consistency": consistency(context, found, condition)} if measurement.operator.known else {}
    of_image |= {
        "diversity": diversity(restored),
        "energy_score": energy_score(restored, truth),
        "crps": crps(restored, truth),
        # Not clipped: values at the ends of the range would be equal, and neither inside nor outside.
        "coverage": coverage(found, x, np.broadcast_to(_unseen(condition, x), x.shape)),
    }
    for name, values in of_image.items():
        yield f"restoration/{name}", float(np.nanmean(values))
        yield f"restoration/{name}_stderr", standard_error(values[np.isfinite(values)])
    yield "restoration/coverage_nominal", nominal_coverage(draws)
    if context.networks.extractor and enough("restoration", len(x)):
        yield from set_distances(context, restored, truth, to_unit(at_image_size(measurement, condition, x)))
    yield "restoration/draws", float(draws)
    few = jax.tree.map(lambda a: jnp.asarray(a[:COUNTED]), condition)
    yield "restoration/nfe", float(latent_evaluations(context.model, few, x[:COUNTED].shape))
    plot(context, measurement, condition, truth, restored, shown)


def consistency(context: EvalContext, found: np.ndarray, condition: Condition) -> np.ndarray:
    """Return the mean squared error of A(x) to y on [0, 1] for draws x [n, draws, ...], the mean over draws and observed values: [n]."""
    operator = _measurement(context).operator

    def error(params: ModelParams, key: PRNGKey, x: Points, condition: Condition) -> PerExample:
        del params, key
        squared = jnp.square(0.5 * (operator.forward(x, condition.mask) - condition.y))
        values = jnp.ones_like(squared)
        total = lambda a: jnp.sum(a.reshape(len(a), -1), axis=1)
        return total(squared) / total(seen(values, condition))

    compiled = context.compile("observe", error)
    return np.mean([context.map(compiled, None, found[:, k], condition) for k in range(found.shape[1])], axis=0)


def at_image_size(measurement: Measurement, condition: Condition, x: np.ndarray) -> np.ndarray:
    """Return y at the size and with the channels of x [n, H, W, C], to look at and for joint features."""
    y = np.asarray(measurement.operator.up(jnp.asarray(condition.y)))
    if y.shape[-1] not in (1, x.shape[-1]):
        y = y[..., :3].mean(axis=-1, keepdims=True)
    return np.broadcast_to(y, x.shape)


def set_distances(context: EvalContext, restored: np.ndarray, truth: np.ndarray, y: np.ndarray) -> Named:
    """Yield the Frechet distances of one draw of each image to the truth, the mean over the draws: of x, and of (y, x)."""
    of_truth, of_y = features(context, truth, "the truth"), features(context, y, "the observations")
    name, both = fd_name(context.extractor), lambda of_x: moments(np.concatenate([of_y, of_x], axis=1))
    alone, joint, real = [], [], (moments(of_truth), both(of_truth))
    for k in range(restored.shape[1]):
        of_draw = features(context, restored[:, k], f"draw {k + 1}")
        alone.append(frechet_distance(moments(of_draw), real[0]))
        joint.append(frechet_distance(both(of_draw), real[1]))
    yield f"restoration/{name}", float(np.mean(alone))
    yield f"restoration/joint_{name}", float(np.mean(joint))


def plot(
    context: EvalContext,
    measurement: Measurement,
    condition: Condition,
    truth: np.ndarray,
    restored: np.ndarray,
    shown: int,
) -> None:
    """Show y, the truth, five draws, their mean and their deviation, a row each."""
    y = to_unit(at_image_size(measurement, condition, truth))
    deviation = restored.std(axis=1)
    rows = {"observed": y, "truth": truth}
    rows |= {f"draw {k + 1}": restored[:, k] for k in range(min(5, restored.shape[1]))}
    rows |= {
        "mean of the draws": restored.mean(axis=1),
        "deviation, its largest white": deviation / max(deviation.max(), 1e-6),
    }
    plots.rows({name: images[:shown] for name, images in rows.items()}, context.figures / "restorations.png")


def _measurement(context: EvalContext) -> Measurement:
    if context.measurement is None:
        raise TypeError("this model restores nothing: its method has no task")
    return context.measurement


def _unseen(condition: Condition, x: np.ndarray) -> np.ndarray:
    """The pixels that are not given in y: bool, [n, H, W, 1] or like x."""
    return np.ones(x.shape, bool) if condition.mask is None else condition.mask == 0
