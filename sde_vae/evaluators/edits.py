"""Edit an attribute of an image by a step in the latent space: whether the image gets it, and whether the rest stays.

A target is one value of one attribute; the images are held-out ones without it. The latent code is moved along the direction of a
linear probe (`metrics/latent/directions.py`) and decoded with the x_T and noise of the unedited code.
"""

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sde_vae.data.dataset import take, to_model, to_unit
from sde_vae.data.datasets.counterfactuals import counterfactuals
from sde_vae.errors import shortened
from sde_vae.evaluators.context import Attributes, EvalContext, encode_train
from sde_vae.evaluators.edit_targets import Target, choose_targets, class_columns
from sde_vae.inference.interpolation import edit
from sde_vae.metrics.image.distances import standard_error
from sde_vae.metrics.latent.attribute_classifier import AttributeClassifier, fit_attribute_classifier
from sde_vae.metrics.latent.directions import direction
from sde_vae.reporting import plots

Named = Iterator[tuple[str, float]]
# METRIC/STRENGTH -> one value an image
Scores = dict[str, np.ndarray]


def edits(
    context: EvalContext,
    strengths: Sequence[float] = (0.5, 1.0, 1.5),
    targets: int = 5,
    images: int = 64,
    fitted: int = 5_000,
    choose: Callable[[Attributes, int], list[Target]] = choose_targets,
) -> Named:
    """Yield latent/edit/METRIC/STRENGTH, the mean over targets of the mean over images, and latent/edit/ATTRIBUTE_VALUE/METRIC at strength 1.

    Strength 1 leads from where an image without the value typically is to where one with it is. Each of `targets` values is edited into at
    most `images` test images; `fitted` training images fit the directions and the classifier. By a classifier that sees only pixels
    and is the same for all methods, with its accuracy on the test images as classifier_accuracy:

        success                  the share of images with the value; at strength 0, of the decodings without an edit
        preserved                the share of the other attributes whose prediction is that of the unedited decoding

    Where the data can be rendered again, with d the change of the decoded image and D that of the original to its counterfactual:

        true_change              d.D / |D|^2, the part of the true change that is made: 1 is all of it
        off_target               |d - true_change D| / |D|, everything else that changes, in units of the true change
        counterfactual_distance  |edited - counterfactual| / |unedited - counterfactual|: below 1, the edit leads there

    Yields nothing for data without attributes.
    """
    if context.data.attributes is None:
        return
    rows, q = encode_train(context, fitted)
    attributes = context.data.attributes._replace(train=context.data.attributes.train[rows])
    train = to_unit(to_model(take(context.data.train, rows), context.data.levels))
    classifier = fit_attribute_classifier(train, attributes.train, class_columns(attributes))
    found, frames = {}, {}
    for number, target in enumerate(choose(attributes, targets)):
        name, value = attributes.names[target.column], target.value
        lacking, true = images_without(context, target, name, images)
        if len(lacking) == 0:
            continue
        label = attributes.value_name(name, value)
        title = f"{name}: {label}"
        step = direction(q.mean, (attributes.train[:, target.column] == value).astype(np.int64)).step
        edited = decode_edits(context, lacking, step, strengths, f"edit {number}, {shortened(title, 60)}")
        row = [to_unit(context.data.test[lacking]), *edited.values(), *([] if true is None else [true])]
        frames[title] = np.stack([x[0] for x in row])
        key = re.sub(r"[\s/]+", "-", f"{name}_{label}")
        found[key if key not in found else f"{key}_{number}"] = dict(
            edit_scores(context, lacking, target, classifier, edited, true)
        )
    if found:
        yield from means(found)
        predicted = classifier(to_unit(context.data.test))
        right = [np.mean(values == attributes.test[:, column]) for column, values in predicted.items()]
        yield "latent/edit/classifier_accuracy", float(np.mean(right))
        plots.rows(frames, context.figures / "edits.png")


def means(found: dict[str, Scores]) -> Named:
    """Yield the means, as `edits` describes them, of target -> METRIC/STRENGTH -> values, with standard errors."""
    for target, scores in found.items():
        for name, values in scores.items():
            metric, strength = name.split("/")
            if strength == "1":
                yield f"latent/edit/{target}/{metric}", float(np.mean(values))
                yield f"latent/edit/{target}/{metric}_stderr", standard_error(values)
    for name in next(iter(found.values())):
        per_target = [scores[name] for scores in found.values()]
        yield f"latent/edit/{name}", float(np.mean([np.mean(values) for values in per_target]))
        # As if the targets had different images.
        errors = [standard_error(values) for values in per_target]
        yield f"latent/edit/{name}_stderr", float(np.sqrt(np.sum(np.square(errors))) / len(errors))
    yield "latent/edit/targets", float(len(found))
    yield "latent/edit/images", float(np.mean([len(next(iter(scores.values()))) for scores in found.values()]))


def images_without(
    context: EvalContext, target: Target, name: str, images: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return (index [n] of test images without the target, their counterfactuals [n, H, W, C] on [0, 1] or None), at most `images`."""
    data, attributes = context.data, context.data.attributes
    if attributes is None:
        raise TypeError(f"{data.name} has no attributes")
    lacking = np.flatnonzero(attributes.test[:, target.column] != target.value)[:images]
    if data.render is None or len(lacking) == 0:
        return lacking, None
    # What can be rendered has the places of values as attributes, whole numbers.
    changed = [
        dict(zip(attributes.names, map(int, row), strict=True)) | {name: target.value}
        for row in attributes.test[lacking]
    ]
    true = counterfactuals(data.render, changed, data.test.shape[1], data.levels)
    # An attribute that cannot be seen in an image changes nothing there.
    visible = (true != to_unit(data.test[lacking])).any(axis=(1, 2, 3))
    return lacking[visible], true[visible]


def decode_edits(
    context: EvalContext, rows: np.ndarray, step: np.ndarray, strengths: Sequence[float], label: str
) -> dict[float, np.ndarray]:
    """Return strength -> the test images `rows` edited, on [0, 1]; strength 0 is no edit."""
    z = context.encode(context.data.test[rows]).mean
    index = rows.astype(np.int32)
    decode = lambda k: context.decode(edit(z, step, float(k)), index, f"{label}, strength {k:g}")
    return {k: to_unit(decode(k)) for k in (0.0, *strengths)}


def edit_scores(
    context: EvalContext,
    rows: np.ndarray,
    target: Target,
    classifier: AttributeClassifier,
    edited: dict[float, np.ndarray],
    true: np.ndarray | None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (METRIC/STRENGTH, one value an image) of the images by strength; `true` are their counterfactuals."""
    predicted = {k: classifier(images) for k, images in edited.items()}
    for k, values in predicted.items():
        yield f"success/{k:g}", (values[target.column] == target.value).astype(np.float64)
    others = [column for column in predicted[0.0] if column != target.column]
    original = to_unit(context.data.test[rows])
    for k in list(edited)[1:]:
        if others:
            same = [predicted[k][column] == predicted[0.0][column] for column in others]
            yield f"preserved/{k:g}", np.mean(same, axis=0)
        if true is not None:
            for name, values in counterfactual_scores(edited[0.0], edited[k], original, true).items():
                yield f"{name}/{k:g}", values


def counterfactual_scores(unedited: np.ndarray, edited: np.ndarray, original: np.ndarray, true: np.ndarray) -> Scores:
    """Return true_change, off_target and counterfactual_distance of each image [n], as `edits` defines them."""
    unedited, edited, original, true = (
        x.reshape(len(x), -1).astype(np.float64) for x in (unedited, edited, original, true)
    )
    d, D = edited - unedited, true - original
    size = np.linalg.norm(D, axis=1)
    change = np.sum(d * D, axis=1) / np.square(size)
    return {
        "true_change": change,
        "off_target": np.linalg.norm(d - change[:, None] * D, axis=1) / size,
        "counterfactual_distance": np.linalg.norm(edited - true, axis=1) / np.linalg.norm(unedited - true, axis=1),
    }
