"""Vary one dimension of the latent at a time, the others held."""

from collections.abc import Iterator

import numpy as np

from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.context import EvalContext, encode_train
from sde_vae.inference.interpolation import traverse
from sde_vae.metrics.image.distances import l2
from sde_vae.metrics.latent import gaussian
from sde_vae.reporting import plots


def traversal(
    context: EvalContext, dimensions: int = 8, frames: int = 9, width: float = 3.0, fitted: int = 10_000
) -> Iterator[tuple[str, float]]:
    """Yield latent/traversal/l2, the distance of the two ends of a traversal as images, the mean over the dimensions shown.

    The first held-out image's posterior mean is varied in the `dimensions` of largest KL, each from -`width` to `width` standard
    deviations of the aggregate posterior of `fitted` training images, in `frames` frames. All have the same x_T and noise.
    """
    _, aggregate = encode_train(context, fitted)
    std = gaussian.fit(aggregate.mean, aggregate.log_var).std
    q = context.encode(context.data.test)
    kl = np.asarray(q.kl_per_dimension(), np.float64).mean(axis=0)
    largest = np.argsort(-kl, kind="stable")[:dimensions]
    z, offsets = q.mean[:1], np.linspace(-width, width, frames)
    latents = [traverse(z, int(k), (z[0, k] + offsets * std[k]).astype(z.dtype))[0] for k in largest]
    index = np.zeros(len(largest) * frames, np.int32)
    images = to_unit(context.decode(np.concatenate(latents), index, "traverse"))
    images = images.reshape(len(largest), frames, *images.shape[1:])
    rows = {f"z{k + 1}, KL {kl[k]:.2g} nats": row for k, row in zip(largest, images, strict=True)}
    plots.rows(rows, context.figures / "traversal.png")
    yield "latent/traversal/l2", float(l2(images[:, 0], images[:, -1]).mean())
