"""New images of given classes, by classifier-free guidance: fidelity against diversity (arXiv:2207.12598)."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from sde_vae.data.dataset import evenly_spaced_index, take, to_model, to_unit
from sde_vae.errors import BadInput
from sde_vae.evaluators.context import Attributes, EvalContext
from sde_vae.evaluators.set_distances import FEWEST, fd_name, features, train_moments
from sde_vae.inference.sampling import of_classes
from sde_vae.metrics.image.distances import standard_error
from sde_vae.metrics.latent.attribute_classifier import AttributeClassifier, fit_attribute_classifier
from sde_vae.metrics.sets.frechet import frechet_distance, moments
from sde_vae.reporting import plots
from sde_vae.reporting.plots import Panel

Named = Iterator[tuple[str, float]]
Images = Float[np.ndarray, "n height width channels"]
Classes = Real[np.ndarray, "n"]


class Training(NamedTuple):
    """The training images' classes [n], their features [n, dim] or None, their variance within classes, and a classifier fitted to them.

    `column` is that of the classes among the attributes.
    """

    classes: Classes
    features: np.ndarray | None
    variance: float
    classifier: AttributeClassifier
    column: int


def labels(
    context: EvalContext, guidances: Sequence[float] = (0.0, 1.0, 2.0, 4.0, 8.0), shown: int = 20, fitted: int = 20_000
) -> Named:
    """Yield labels/METRIC/GUIDANCE of new images of given classes, and labels/METRIC/reference of the held-out images.

        accuracy       the share in which a classifier of the pixels, fitted to training images, finds the class
        variance       the variance of the pixels within a class, over that of training images
        fd_*           the Frechet distance to all training images
        class_fd_*     the mean over classes of the distance to the training images of the class; of one, class_fd_*/GUIDANCE/CLASS

    The classes of the new images have the shares that they have in training. Image i has the same noise and class at every guidance. At
    most `fitted` training images are used. Raises BadInput if the held-out images have no attributes.
    """
    data, known = context.data, context.data.attributes
    if known is None:
        raise BadInput(f"labels: the evaluated split of {data.name} has no attributes; leave this evaluator out")
    of_training = fit(context, known, fitted)
    index = np.arange(context.samples, dtype=np.int32)
    asked = in_shares(of_training.classes, len(index)).astype(np.int32)
    sample = context.compile("sample", of_classes(context.model, data.test.shape[1:]))

    found, pictures = {}, {}
    for guidance in guidances:
        what, scale = f"samples of classes, guidance {guidance:g}", np.full(len(index), guidance, np.float32)
        new = to_unit(context.map(sample, what, index, asked, scale))
        found |= dict(class_metrics(context, known, of_training, new, asked, f"{guidance:g}"))
        pictures[f"guidance {guidance:g}"] = new[evenly_spaced_index(len(new), shown)]
    held_out = known.test[:, of_training.column]
    found |= dict(class_metrics(context, known, of_training, to_unit(data.test), held_out, "reference"))
    yield from found.items()
    yield "labels/n", float(len(index))
    yield "labels/reference_n", float(len(data.test))
    plots.rows(pictures, context.figures / "label_samples.png")
    plots.lines(panels(found, guidances), context.figures / "labels.png")


def fit(context: EvalContext, attributes: Attributes, most: int) -> Training:
    """Fit the classifier, and what new images are compared with, to at most `most` training images, evenly spaced."""
    data, column = context.data, attributes.names.index(context.data.label)
    rows = evenly_spaced_index(len(data.train), most)
    images, table = to_unit(to_model(take(data.train, rows), data.levels)), attributes.train[rows]
    classes = table[:, column]
    return Training(
        classes,
        # Under a name of their own: other evaluators keep the features of other training images.
        features(context, images, "training images with classes") if context.networks.extractor else None,
        variance_within(images, classes),
        fit_attribute_classifier(images, table, (column,)),
        column,
    )


def class_metrics(
    context: EvalContext, attributes: Attributes, training: Training, images: Images, classes: Classes, at: str
) -> Named:
    """Yield labels/METRIC/AT of images on [0, 1] and their classes; without distances where there is no extractor, or too few images."""
    right = training.classifier(images)[training.column] == classes
    yield f"labels/accuracy/{at}", float(np.mean(right))
    yield f"labels/accuracy/{at}_stderr", standard_error(right)
    yield f"labels/variance/{at}", variance_within(images, classes) / training.variance
    if training.features is None or len(images) < FEWEST:
        return
    name, ours = fd_name(context.extractor), features(context, images, f"images of classes, {at}")
    yield f"labels/{name}/{at}", frechet_distance(moments(ours), train_moments(context))
    distances = []
    for kind in np.unique(classes):
        pair = ours[classes == kind], training.features[training.classes == kind]
        if min(map(len, pair)) >= FEWEST:
            distances.append(frechet_distance(*map(moments, pair)))
            value = re.sub(r"[\s/]+", "-", attributes.value_name(context.data.label, int(kind)))
            yield f"labels/class_{name}/{at}/{value}", distances[-1]
    if distances:
        yield f"labels/class_{name}/{at}", float(np.mean(distances))


def in_shares(classes: Classes, n: int) -> Real[np.ndarray, "m"]:
    """Return n classes, sorted, in the shares that they have among `classes`.

    >>> in_shares(np.array([1, 0, 1, 1]), 8).tolist()
    [0, 0, 1, 1, 1, 1, 1, 1]
    """
    return np.sort(classes)[np.arange(n) * len(classes) // n]


def variance_within(images: Images, classes: Classes) -> float:
    """Return the variance within classes, summed over the pixels; NaN where no class has two images.

    >>> variance_within(np.array([0.0, 2.0, 5.0]).reshape(3, 1, 1, 1), np.array([0, 0, 1]))
    2.0
    """
    kinds = np.unique(classes)
    of_kinds = (images[classes == kind] for kind in kinds)
    squares = sum(float(np.sum(np.square(x - x.mean(axis=0, keepdims=True)))) for x in of_kinds)
    return squares / (len(classes) - len(kinds)) if len(classes) > len(kinds) else float("nan")


def panels(found: dict[str, float], guidances: Sequence[float]) -> list[Panel]:
    """Return the panels of the figure: fidelity, diversity and, where there are distances, both in one."""
    of_pixels = ("accuracy", "variance")
    names = [name.split("/")[1] for name in found if name.endswith("/reference")]
    whole = [name for name in names if all(f"labels/{name}/{w:g}" in found for w in guidances)]
    distances = {
        f"new images{' of a class' * name.startswith('class_')}": name for name in whole if name not in of_pixels
    }
    of_new = *({"new images": name} for name in of_pixels), distances
    titles = (
        ("Fidelity: share in which the class is found", "accuracy"),
        ("Diversity: variance within a class", "training images = 1"),
        ("Both: Fréchet distance to the training images", "distance"),
    )
    return [
        Panel(
            title,
            "guidance",
            y,
            {name: (guidances, [found[f"labels/{metric}/{w:g}"] for w in guidances]) for name, metric in lines.items()},
            {name.replace("new", "held-out"): found[f"labels/{metric}/reference"] for name, metric in lines.items()},
            log_y=lines is distances,
            log_x=False,
        )
        for (title, y), lines in zip(titles, of_new, strict=True)
        if lines
    ]
