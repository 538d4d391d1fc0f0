"""The posteriors q(z | x_0) of the held-out images: how much of the latent is used, and how dependent its dimensions are.

Where the data have attributes, `latent_factors` measures what their values can be predicted from. An image's latent code is the mean of
its posterior.
"""

from collections.abc import Iterator

import numpy as np

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.errors import BadInput
from sde_vae.evaluators.context import EvalContext, encode_train
from sde_vae.evaluators.latent_factors import attribute_metrics, class_labels
from sde_vae.keys import generator
from sde_vae.metrics.image.distances import standard_error
from sde_vae.metrics.latent import statistics
from sde_vae.metrics.principal_components import fit_pca
from sde_vae.reporting import plots
from sde_vae.reporting.plots import Bars, Scatter

Named = Iterator[tuple[str, float]]


def latents(context: EvalContext, fitted: int = 10_000, forests: int = 5_000, images: int = 1_000) -> Named:
    """Yield latent/*: statistics of the posteriors; with attributes, linear probes; with two or more of them, DCI, MIG and TAD.

    What needs fitting is fitted to `fitted` training images, the forests of DCI to `forests` of these, and evaluated on the test images. The
    bounds of the total correlation compare the first `images` test images in pairs. Raises BadInput if a posterior is not finite.
    """
    q = context.encode(context.data.test)
    failed = int(np.sum(~(np.isfinite(q.mean) & np.isfinite(q.log_var)).all(axis=1)))
    if failed:
        raise BadInput(
            f"latents: {failed} of {len(q.mean)} posteriors are not finite; train with a smaller learning rate"
        )
    yield from posterior_statistics(q, context.seed, images)
    attributes = context.data.attributes
    plot_latents(context, q)
    if attributes is None:
        return
    rows, (codes, _) = encode_train(context, fitted)
    yield "latent/train_n", float(len(codes))
    labels = class_labels(attributes._replace(train=attributes.train[rows]))
    yield from attribute_metrics(context, codes, q, labels, forests)


def posterior_statistics(q: DiagGaussian, seed: int, images: int) -> Named:
    """Yield active units, the KL per dimension, effective dimensions and the total correlation of q(z).

    latent/total_correlation is that of a Gaussian, and its reference that of independent dimensions for as many images. The bounds are
    of q(z) whatever its form. They meet where n images are enough, which they are for small latents only.
    """
    kl = statistics.kl_per_dimension(q.mean, q.log_var)
    yield "latent/active_units", float(statistics.active(q.mean).sum())
    yield "latent/kl_dim_max", float(kl.max())
    yield "latent/kl_dim_min", float(kl.min())
    yield "latent/effective_dimensions", statistics.effective_dimensions(kl)
    yield "latent/total_correlation", statistics.gaussian_total_correlation(q.mean, q.log_var)
    yield "latent/total_correlation_reference", statistics.gaussian_total_correlation_reference(q.mean, q.log_var)
    if len(q.mean) > 1:
        mean, log_var = q.mean[:images], q.log_var[:images]
        noise = generator(seed, "total correlation").standard_normal(mean.shape, np.float32)
        bounds = statistics.total_correlation_bounds(mean, log_var, noise)
        for name, terms in bounds._asdict().items():
            yield f"latent/total_correlation_{name}", float(terms.mean())
            yield f"latent/total_correlation_{name}_stderr", standard_error(terms)


def plot_latents(context: EvalContext, q: DiagGaussian) -> None:
    """Plot the KL of each dimension, the largest first, and the latent codes in the plane of their largest variance.

    The codes are coloured by the first attribute.
    """
    known = context.data.attributes
    attribute = None if known is None else (known.names[0], known.test[:, 0])
    values = () if known is None else known.values.get(known.names[0], ())
    kl = statistics.kl_per_dimension(q.mean, q.log_var)
    order = np.argsort(-kl)
    title = f"{statistics.active(q.mean).sum()} of {len(kl)} dimensions are active"
    bars = Bars(title, "dimension, by KL", "KL, nats", kl[order], statistics.active(q.mean)[order])
    plane = np.zeros((len(q.mean), 2))
    if pca := fit_pca(means := q.mean.astype(np.float64), 2):
        plane[:, : pca.n_components_] = pca.transform(means)
    scatter = Scatter(
        "Latent codes", "first principal component", "second principal component", plane, attribute, values
    )
    plots.bars_and_scatter(bars, scatter, context.figures / "latents.png")
