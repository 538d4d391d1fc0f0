"""From one held-out image to another through the latent space, straight and along an arc, without and with their x_T."""

from collections.abc import Iterator

import jax
import numpy as np

from sde_vae.arrays import keys_of
from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.decoding import decode
from sde_vae.inference.interpolation import lerp, slerp
from sde_vae.metrics.image.distances import l2, standard_error
from sde_vae.reporting import plots
from sde_vae.types import Indices, Latents, Points

# The first 2 * PAIRS held-out images, each with its neighbour; of them so many pairs are drawn.
PAIRS, DRAWN = 16, 3
FRAMES = 9
Named = Iterator[tuple[str, float]]


def interpolation(context: EvalContext) -> Named:
    """latent/interpolation/PATH/..., of the paths

    linear      z along a straight line, from a random x_T that is the same for the whole path, with the same noise on the way
    slerp       z along an arc, likewise
    inverted    z along an arc, and x_T along the arc between those that the two images come from, decoded by the ODE that
                found them; only of methods that decode by a solver
    """
    pairs = min(PAIRS, len(context.data.test) // 2)
    if pairs == 0:
        return
    x = context.data.test[: 2 * pairs]
    z, at = context.encode(x).mean, np.linspace(0, 1, FRAMES)
    index = np.repeat(np.arange(pairs, dtype=np.int32), FRAMES)
    codes = {name: _rows(path(z[::2], z[1::2], at)) for name, path in (("linear", lerp), ("slerp", slerp))}
    paths = {name: context.decode(path, index, f"interpolate, {name}") for name, path in codes.items()}
    if context.model.score is not None:
        x_T = context.invert(z, x, "invert to interpolate")[:, 0]
        paths["inverted"] = by_inverter(context, codes["slerp"], index, _rows(slerp(x_T[::2], x_T[1::2], at)))

    originals = to_unit(x).reshape(pairs, 2, *x.shape[1:])
    frames = {name: to_unit(path).reshape(pairs, FRAMES, *x.shape[1:]) for name, path in paths.items()}
    for name, path in frames.items():
        yield from of_path(f"latent/interpolation/{name}", path, originals)
    yield "latent/interpolation/pairs", float(pairs)
    # Each path between its originals.
    named = {
        f"{i + 1}: {name}": np.concatenate([originals[i, :1], path[i], originals[i, 1:]])
        for i in range(min(DRAWN, pairs))
        for name, path in frames.items()
    }
    plots.rows(named, context.figures / "interpolation.png")


def of_path(name: str, frames: np.ndarray, originals: np.ndarray) -> Named:
    """name/ends_l2: of the two ends to their originals. name/largest_step: the l2 of the largest step between neighbouring
    frames, over that of the mean step: 1 if the image changes evenly, FRAMES - 1 if it jumps once. Paths that do not move at
    all are left out of it.
    """
    pairs = len(frames)
    ends = frames[:, [0, -1]].reshape(-1, *frames.shape[2:])
    distances = l2(ends, originals.reshape(ends.shape)).reshape(pairs, 2).mean(axis=1)
    yield f"{name}/ends_l2", float(distances.mean())
    yield f"{name}/ends_l2_stderr", standard_error(distances)
    steps = l2(_rows(frames[:, 1:]), _rows(frames[:, :-1])).reshape(pairs, -1)
    steps = steps[steps.max(axis=1) > 0]
    if len(steps):
        unevenness = steps.max(axis=1) / steps.mean(axis=1)
        yield f"{name}/largest_step", float(unevenness.mean())
        yield f"{name}/largest_step_stderr", standard_error(unevenness)


def by_inverter(context: EvalContext, z: np.ndarray, index: np.ndarray, x_T: np.ndarray) -> np.ndarray:
    """Decoded by the solver that inverts: another one would not lead back to the images."""
    model, key = context.model, jax.random.key(context.seed)

    @jax.jit
    def back(z: Latents, index: Indices, x_T: Points) -> Points:
        return decode(model.inverter, model.score(z), keys_of(key, index), x_T)

    return batched_map(back, context.batch_size, z, index, x_T, label="interpolate, inverted", cache=context.cache)


def _rows(paths: np.ndarray) -> np.ndarray:
    """[pairs, frames, ...] -> [pairs * frames, ...]"""
    return paths.reshape(-1, *paths.shape[2:])
