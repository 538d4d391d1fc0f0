"""Interpolate between held-out images in the latent space: along a line and along an arc, with a random x_T and with their own."""

from collections.abc import Iterator

import numpy as np

from sde_vae.arrays import keys_of
from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.inference.decoding import decode
from sde_vae.inference.interpolation import lerp, slerp
from sde_vae.inference.model import ModelParams
from sde_vae.methods.method import required
from sde_vae.metrics.image.distances import l2, standard_error
from sde_vae.reporting import plots
from sde_vae.types import Indices, Latents, Points, PRNGKey

Named = Iterator[tuple[str, float]]


def interpolation(context: EvalContext, pairs: int = 16, frames: int = 9, shown: int = 3) -> Named:
    """Yield latent/interpolation/PATH/{ends_l2,largest_step} over the first 2 * `pairs` held-out images, two a path of `frames` frames.

    linear      z along a line; one random x_T for the whole path, and the same noise
    slerp       z along an arc, likewise
    inverted    z along an arc, and x_T along the arc between those of the two images, decoded by the ODE that found
                them; only for a method with a score

    The figure has the paths of the first `shown` pairs, each between its originals.
    """
    pairs = min(pairs, len(context.data.test) // 2)
    if pairs == 0:
        return
    x = context.data.test[: 2 * pairs]
    z, at = context.encode(x).mean, np.linspace(0, 1, frames)
    index = np.repeat(np.arange(pairs, dtype=np.int32), frames)
    latents = {name: _flat(path(z[::2], z[1::2], at)) for name, path in (("linear", lerp), ("slerp", slerp))}
    decoded = {name: context.decode(z, index, f"interpolate, {name}") for name, z in latents.items()}
    if context.model.score is not None:
        x_T = context.invert(z, x, "invert to interpolate")[:, 0]
        decoded["inverted"] = decode_inverted(context, latents["slerp"], index, _flat(slerp(x_T[::2], x_T[1::2], at)))

    originals = to_unit(x).reshape(pairs, 2, *x.shape[1:])
    paths = {name: to_unit(images).reshape(pairs, frames, *x.shape[1:]) for name, images in decoded.items()}
    for name, path in paths.items():
        yield from path_metrics(f"latent/interpolation/{name}", path, originals)
    yield "latent/interpolation/pairs", float(pairs)
    rows = {
        f"pair {i + 1}: {name}": np.concatenate([originals[i, :1], path[i], originals[i, 1:]])
        for i in range(min(shown, pairs))
        for name, path in paths.items()
    }
    plots.rows(rows, context.figures / "interpolation.png")


def path_metrics(name: str, path: np.ndarray, originals: np.ndarray) -> Named:
    """Yield metrics of paths [pairs, frames, H, W, C] between originals [pairs, 2, H, W, C].

    NAME/ends_l2 is the l2 of both ends to their originals. NAME/largest_step is the l2 of the largest step between neighbouring frames
    over that of the mean step: 1 if the image changes evenly, frames - 1 if it jumps once. Paths that do not change are left out of it.
    """
    pairs = len(path)
    ends = path[:, [0, -1]].reshape(-1, *path.shape[2:])
    distances = l2(ends, originals.reshape(ends.shape)).reshape(pairs, 2).mean(axis=1)
    yield f"{name}/ends_l2", float(distances.mean())
    yield f"{name}/ends_l2_stderr", standard_error(distances)
    steps = l2(_flat(path[:, 1:]), _flat(path[:, :-1])).reshape(pairs, -1)
    steps = steps[steps.max(axis=1) > 0]
    if len(steps):
        unevenness = steps.max(axis=1) / steps.mean(axis=1)
        yield f"{name}/largest_step", float(unevenness.mean())
        yield f"{name}/largest_step_stderr", standard_error(unevenness)


def decode_inverted(context: EvalContext, z: np.ndarray, index: np.ndarray, x_T: np.ndarray) -> np.ndarray:
    """Decode z [n, latent] from x_T [n, H, W, C] by the solver that inverts: another would not lead back to the images."""
    model = context.model

    def decode_batch(params: ModelParams, key: PRNGKey, z: Latents, index: Indices, x_T: Points) -> Points:
        return decode(model.inverter, required(model.score, "score")(params, z), keys_of(key, index), x_T)

    return context.map(context.compile("decode", decode_batch), "interpolate, inverted", z, index, x_T)


def _flat(paths: np.ndarray) -> np.ndarray:
    """Return [pairs, frames, ...] as [pairs * frames, ...]."""
    return paths.reshape(-1, *paths.shape[2:])
