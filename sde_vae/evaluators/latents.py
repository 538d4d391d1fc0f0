"""What the latent is worth: how much of it is used, how dependent its dimensions are, and what can be read off it.

A code is the mean of q(z | x_0). What needs fitting is fitted to the codes of training images and told of the test images'.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA

from sde_vae.data.dataset import evenly_spaced_index
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.errors import BadInput
from sde_vae.evaluators.context import EvalContext, encode_train
from sde_vae.metrics.image.distances import standard_error
from sde_vae.metrics.latent import probes, statistics
from sde_vae.metrics.latent.disentanglement import DCI, dci, mig
from sde_vae.metrics.latent.tad import tad
from sde_vae.reporting import plots
from sde_vae.reporting.plots import Bars, Cloud, HeatMap

# So many training images, evenly spaced, are encoded; of so many are forests grown; so many test images are compared pair by pair.
CODES, GROWN, PAIRED = 10_000, 5_000, 1_000
# An attribute with more values than this is a number, and no class. A factor of which all but so few images have the same value
# tells nothing of codes.
CLASSES, RARE = 64, 30
Named = Iterator[tuple[str, float]]


class Known(NamedTuple):
    """One attribute as classes 0, 1, .. of the training images; -1 for test images whose value no training image has."""

    name: str
    classes: int
    train: np.ndarray
    test: np.ndarray


def latents(context: EvalContext) -> Named:
    """latent/...: statistics of the posteriors; where attributes are known, probes; where there are two or more, DCI, MIG and TAD."""
    q = context.encode(context.data.test)
    failed = int(np.sum(~(np.isfinite(q.mean) & np.isfinite(q.log_var)).all(axis=1)))
    if failed:
        raise BadInput(
            f"latents: {failed} of {len(q.mean)} posteriors are not finite; train with a smaller learning rate"
        )
    yield from of_posteriors(q, context.seed)
    attributes = context.data.attributes
    draw(context, q, None if attributes is None else (attributes.names[0], attributes.test[:, 0]))
    if attributes is None:
        return
    rows, (codes, _) = encode_train(context, CODES)
    known = [
        _known(name, train, test)
        for name, train, test in zip(attributes.names, attributes.train[rows].T, attributes.test.T, strict=True)
    ]
    known = [k for k in known if 2 <= k.classes <= CLASSES]
    yield "latent/train_n", float(len(codes))
    yield from of_classes(codes, q.mean, [k for k in known if k.classes > 2])
    # Where the test images have one value only there is nothing to detect.
    yield from of_binary(codes, q.mean, [k for k in known if k.classes == 2 and len(np.unique(k.test)) > 1])
    grown = evenly_spaced_index(len(codes), GROWN)
    factors = [k for k in known if np.bincount(k.train[grown]).max() <= len(grown) - RARE]
    if len(factors) > 1:
        yield from of_factors(context, codes, q, grown, factors)


def of_posteriors(q: DiagGaussian, seed: int) -> Named:
    """total_correlation is that of a Gaussian, and its floor what independent dimensions have at so many images.

    The bounds are those of whatever q(z) is: they meet where n images are enough, which they are for small latents only.
    """
    kl = statistics.kl_per_dimension(q.mean, q.log_var)
    yield "latent/active_units", float(statistics.active(q.mean).sum())
    yield "latent/kl_dim_max", float(kl.max())
    yield "latent/kl_dim_min", float(kl.min())
    yield "latent/effective_dimensions", statistics.effective_dimensions(kl)
    yield "latent/total_correlation", statistics.gaussian_total_correlation(q.mean, q.log_var)
    yield "latent/total_correlation_reference", statistics.gaussian_total_correlation_reference(q.mean, q.log_var)
    if len(q.mean) > 1:
        mean, log_var = q.mean[:PAIRED], q.log_var[:PAIRED]
        noise = np.random.default_rng(seed).standard_normal(mean.shape, np.float32)
        bounds = statistics.total_correlation_bounds(mean, log_var, noise)
        for name, terms in bounds._asdict().items():
            yield f"latent/total_correlation_{name}", float(terms.mean())
            yield f"latent/total_correlation_{name}_stderr", standard_error(terms)


def of_classes(train: np.ndarray, test: np.ndarray, known: list[Known]) -> Named:
    """The accuracy of a linear probe for each attribute, beside that of the commonest value, and their means."""
    found = {k.name: probes.right(train, k.train, test, k.test) for k in known}
    for name in probes.Right._fields:
        figure = {"probe": "latent/probe_accuracy", "majority": "latent/probe_majority"}[name]
        rows = {attribute: getattr(right, name).astype(np.float64) for attribute, right in found.items()}
        for attribute, right in rows.items():
            yield f"{figure}/{attribute}", float(right.mean())
            yield f"{figure}/{attribute}_stderr", standard_error(right)
        if rows:
            mean = np.mean(list(rows.values()), axis=0)
            yield figure, float(mean.mean())
            yield f"{figure}_stderr", standard_error(mean)


def of_binary(train: np.ndarray, test: np.ndarray, known: list[Known]) -> Named:
    """The average precision of a linear probe for the larger value of each attribute, beside its prevalence, and their means."""
    has = {k.name: (k.test == 1).astype(np.int64) for k in known}
    scores = {k.name: probes.scores(train, k.train, test) for k in known}

    def precision(names: list[str], rows: np.ndarray) -> float:
        return float(np.mean([probes.average_precision(has[name][rows], scores[name][rows]) for name in names]))

    everything = np.arange(len(test))
    for end, names in ({f"/{name}": [name] for name in has} | ({"": list(has)} if has else {})).items():
        yield f"latent/probe_average_precision{end}", precision(names, everything)
        error = probes.jackknife(lambda rows, names=names: precision(names, rows), len(test))
        yield f"latent/probe_average_precision{end}_stderr", error
        yield f"latent/probe_prevalence{end}", float(np.mean([has[name].mean() for name in names]))


def of_factors(
    context: EvalContext, train: np.ndarray, q: DiagGaussian, grown: np.ndarray, known: list[Known]
) -> Named:
    """DCI, its forests grown on those training images; MIG and TAD of all of them: there are more, and nothing is fitted to them."""
    factors, held_out = (np.stack(labels, axis=1) for labels in zip(*((k.train, k.test) for k in known), strict=True))
    found = dci(train[grown], factors[grown], q.mean, held_out)
    draw_factors(context, q, [k.name for k in known], found)
    for name in ("disentanglement", "completeness", "informativeness", "majority"):
        yield f"latent/dci_{name}", getattr(found, name)
    yield "latent/mig", mig(train, factors)
    yield "latent/mig_stderr", probes.jackknife(lambda rows: mig(train[rows], factors[rows]), len(train))
    detected = tad(train, factors)
    yield "latent/tad", detected.total
    yield "latent/tad_stderr", probes.jackknife(lambda rows: tad(train[rows], factors[rows]).total, len(train))
    yield "latent/tad_captured", float(detected.captured)
    yield "latent/tad_attributes", float(detected.attributes)


def draw(context: EvalContext, q: DiagGaussian, attribute: tuple[str, np.ndarray] | None) -> None:
    """The KL of each dimension, the largest first; and the test images' codes in the plane of their largest variance."""
    kl = statistics.kl_per_dimension(q.mean, q.log_var)
    order = np.argsort(-kl)
    title = f"{statistics.active(q.mean).sum()} of {len(kl)} units active"
    bars = Bars(title, "dimension, by KL", "KL, nats", kl[order], statistics.active(q.mean)[order])
    plane = np.zeros((len(q.mean), 2))
    if len(q.mean) > 1:
        few = min(2, *q.mean.shape)
        plane[:, :few] = PCA(few, svd_solver="full").fit_transform(q.mean.astype(np.float64))
    cloud = Cloud("Posterior means", "first component", "second component", plane, attribute)
    plots.bars_and_cloud(bars, cloud, context.figures / "latents.png")


def draw_factors(context: EvalContext, q: DiagGaussian, names: list[str], found: DCI) -> None:
    """Which dimensions tell which factor: DCI's importances, the dimensions in the order of `draw`, numbered as traversals number them."""
    order = np.argsort(-statistics.kl_per_dimension(q.mean, q.log_var))
    figures = ", ".join(f"{n} {getattr(found, n):.2f}" for n in ("disentanglement", "completeness", "informativeness"))
    shown = HeatMap(
        title=f"DCI: {figures}",
        x="number of the dimension, the largest KL first",
        colour="importance",
        rows=[name.replace("_", " ") for name in names],
        columns=[str(k + 1) for k in order],
        values=found.importance[order].T,
    )
    plots.heat_map(shown, context.figures / "factors.png")


def _known(name: str, train: np.ndarray, test: np.ndarray) -> Known:
    values, labels = np.unique(train, return_inverse=True)
    place = np.minimum(np.searchsorted(values, test), len(values) - 1)
    return Known(name, len(values), labels, np.where(values[place] == test, place, -1))
