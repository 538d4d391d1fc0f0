"""One dimension of the latent after the other, from low to high, the rest held: what does each of them say?"""

from collections.abc import Iterator

import numpy as np

from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.context import EvalContext, encode_train
from sde_vae.inference.interpolation import traverse
from sde_vae.metrics.image.distances import l2
from sde_vae.metrics.latent import gaussian
from sde_vae.reporting import plots

# In standard deviations of the aggregate posterior, from the mean of one image's posterior.
VALUES = np.linspace(-3, 3, 9)
# So many dimensions are shown, those with the largest KL; so many training images give the standard deviations.
SHOWN, FITTED = 8, 10_000


def traversal(context: EvalContext) -> Iterator[tuple[str, float]]:
    """Of the first held-out image, drawn. All frames have the same x_T and the same noise on the way: what differs is z.

    latent/traversal/l2 is how far apart the two ends of a dimension are as images, the mean over the dimensions shown.
    """
    _, aggregate = encode_train(context, FITTED)
    std = gaussian.fit(aggregate.mean, aggregate.log_var).std
    q = context.encode(context.data.test)
    kl = np.asarray(q.kl_per_dimension(), np.float64).mean(axis=0)
    shown = np.argsort(-kl, kind="stable")[:SHOWN]
    z = q.mean[:1]
    paths = [traverse(z, int(k), (z[0, k] + VALUES * std[k]).astype(z.dtype))[0] for k in shown]
    index = np.zeros(len(shown) * len(VALUES), np.int32)
    frames = to_unit(context.decode(np.concatenate(paths), index, "traverse"))
    frames = frames.reshape(len(shown), len(VALUES), *frames.shape[1:])
    named = {f"z{k + 1}: {kl[k]:.2g} nats": row for k, row in zip(shown, frames, strict=True)}
    plots.rows(named, context.figures / "traversal.png")
    yield "latent/traversal/l2", float(l2(frames[:, 0], frames[:, -1]).mean())
