"""Give an image an attribute by a step in the latent space: does it get it, and does the rest stay?

The target is one value of one attribute; the images are held-out ones that do not have it. The code is moved along the direction
of a linear probe (`metrics/directions.py`) and decoded from the same x_T, with the same noise, as it would be unmoved.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sde_vae.data.dataset import to_unit
from sde_vae.data.datasets.counterfactuals import counterfactuals, value_name
from sde_vae.evaluators.context import Attributes, EvalContext, encode_train
from sde_vae.evaluators.latents import CLASSES
from sde_vae.inference.interpolation import edit
from sde_vae.metrics.image.distances import standard_error
from sde_vae.metrics.latent.attribute_classifier import AttributeClassifier, fit_attribute_classifier
from sde_vae.metrics.latent.directions import direction
from sde_vae.reporting import plots

# 1 is from where an image without the target typically is to where one with it is: see `metrics.directions`.
STRENGTHS = (0.5, 1.0, 1.5)
# So many targets, so many images each; so many training images teach the directions and the classifier.
TARGETS, IMAGES, FITTED = 5, 64, 5_000
Named = Iterator[tuple[str, float]]
# FIGURE/STRENGTH -> one value an image.
Figures = dict[str, np.ndarray]


class Target(NamedTuple):
    """Column `column` of the attributes, and the value it is given."""

    column: int
    value: int


def edits(context: EvalContext) -> Named:
    """latent/edit/FIGURE/STRENGTH: the mean over the images of each target, and over targets; and each target's own at strength 1,
    latent/edit/ATTRIBUTE_VALUE/FIGURE.

    By a classifier that sees nothing but pixels, and is the same for all methods; `classifier_accuracy` is on the held-out images:
        flipped     the share that has the target value; of strength 0 too, the images as they are decoded without an edit
        kept        the share of the other attributes whose answer is as it was before the edit
    Where the data can be drawn again, d the change of the decoded image and D that from the original to its counterfactual:
        change      d.D / |D|^2, the part of the true change that was made: 1 would be all of it
        side        |d - change D| / |D|, whatever else changed, in units of the true change: 0 would be nothing
        distance    |edited - counterfactual| / |unedited - counterfactual|, both as decoded: below 1, the edit led there
    """
    attributes = context.data.attributes
    if attributes is None:
        return
    rows, q = encode_train(context, FITTED)
    known = attributes._replace(train=attributes.train[rows])
    classifier = fit_attribute_classifier(context, rows, classes_of(known))
    found, shown = {}, {}
    for number, target in enumerate(choose_targets(known)):
        name = attributes.names[target.column]
        lacking = np.flatnonzero(attributes.test[:, target.column] != target.value)[:IMAGES]
        true = counterfactuals(context.data, lacking, name, target.value)
        if true is not None:
            # What cannot be seen in a face changes nothing, and there is nothing to make.
            visible = (true != to_unit(context.data.test[lacking])).any(axis=(1, 2, 3))
            lacking, true = lacking[visible], true[visible]
        if len(lacking) == 0:
            continue
        value = value_name(context.data, name, target.value)
        title = f"{name}: {value}"
        labels = (known.train[:, target.column] == target.value).astype(np.int64)
        frames = decode_edits(context, lacking, direction(q.mean, labels).step, f"edit {number}, {title}")
        shown[title] = np.stack([x[0] for x in (to_unit(context.data.test[lacking]), *frames.values())])
        if true is not None:
            shown[title] = np.concatenate([shown[title], true[:1]])
        found[f"{name}_{value}"] = dict(of_target(context, lacking, target, classifier, frames, true))
    if found:
        yield from told(found)
        answers = classifier(to_unit(context.data.test))
        right = [np.mean(answer == attributes.test[:, column]) for column, answer in answers.items()]
        yield "latent/edit/classifier_accuracy", float(np.mean(right))
        plots.rows(shown, context.figures / "edits.png")


def told(found: dict[str, Figures]) -> Named:
    """`edits` says how."""
    for target, figures in found.items():
        for name, values in figures.items():
            figure, strength = name.split("/")
            if strength == "1":
                yield f"latent/edit/{target}/{figure}", float(np.mean(values))
                yield f"latent/edit/{target}/{figure}_stderr", standard_error(values)
    for name in next(iter(found.values())):
        per_target = [figures[name] for figures in found.values()]
        yield f"latent/edit/{name}", float(np.mean([np.mean(values) for values in per_target]))
        # As if the targets had different images.
        errors = [standard_error(values) for values in per_target]
        yield f"latent/edit/{name}_stderr", float(np.sqrt(np.sum(np.square(errors))) / len(errors))
    yield "latent/edit/targets", float(len(found))
    yield "latent/edit/images", float(np.mean([len(next(iter(figures.values()))) for figures in found.values()]))


def classes_of(attributes: Attributes) -> list[int]:
    """The columns with 2 to CLASSES values."""
    return [k for k, column in enumerate(attributes.train.T) if 2 <= len(np.unique(column)) <= CLASSES]


def choose_targets(attributes: Attributes) -> list[Target]:
    """Those values that come nearest to half of the training images having them: one an attribute, more where attributes are few.

    The data alone decide, so that all methods are asked for the same. Of two values as near, the larger: 1 rather than 0.
    """
    ranked = []
    for k in classes_of(attributes):
        values, counts = np.unique(attributes.train[:, k], return_counts=True)
        # In whole images: shares of one half, from above and below, would differ by their rounding.
        unbalanced = np.abs(2 * counts - len(attributes.train))
        order = np.lexsort((-values, unbalanced))
        ranked += [(turn, int(unbalanced[i]), k, int(values[i])) for turn, i in enumerate(order)]
        if len(values) == 2:
            ranked.pop()  # the way back
    return [Target(k, value) for _, _, k, value in sorted(ranked)[:TARGETS]]


def decode_edits(context: EvalContext, rows: np.ndarray, step: np.ndarray, label: str) -> dict[float, np.ndarray]:
    """Strength -> the test images `rows` edited, on [0, 1]; 0 is no edit."""
    z = context.encode(context.data.test[rows]).mean
    index = rows.astype(np.int32)
    decode = lambda k: context.decode(edit(z, step, float(k)), index, f"{label}, strength {k:g}")
    return {k: to_unit(decode(k)) for k in (0.0, *STRENGTHS)}


def of_target(
    context: EvalContext,
    rows: np.ndarray,
    target: Target,
    classifier: AttributeClassifier,
    frames: dict[float, np.ndarray],
    true: np.ndarray | None,
) -> Iterator[tuple[str, np.ndarray]]:
    """(FIGURE/STRENGTH, one value an image)."""
    answers = {k: classifier(images) for k, images in frames.items()}
    for k, answer in answers.items():
        yield f"success/{k:g}", (answer[target.column] == target.value).astype(np.float64)
    others = [column for column in answers[0.0] if column != target.column]
    original = to_unit(context.data.test[rows])
    for k in STRENGTHS:
        if others:
            yield f"preserved/{k:g}", np.mean([answers[k][column] == answers[0.0][column] for column in others], axis=0)
        if true is not None:
            for name, values in against_true(frames[0.0], frames[k], original, true).items():
                yield f"{name}/{k:g}", values


def against_true(
    before: np.ndarray, after: np.ndarray, original: np.ndarray, true: np.ndarray
) -> dict[str, np.ndarray]:
    """`edits` says what they are."""
    before, after, original, true = (x.reshape(len(x), -1).astype(np.float64) for x in (before, after, original, true))
    d, D = after - before, true - original
    size = np.linalg.norm(D, axis=1)
    change = np.sum(d * D, axis=1) / np.square(size)
    return {
        "true_change": change,
        "off_target": np.linalg.norm(d - change[:, None] * D, axis=1) / size,
        "counterfactual_distance": np.linalg.norm(after - true, axis=1) / np.linalg.norm(before - true, axis=1),
    }
