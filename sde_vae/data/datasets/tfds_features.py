"""Check the files that describe a data set of tensorflow-datasets, before that library reads them.

features.json names a class for each feature, and the library imports the module of a class that it does not know. A folder from elsewhere
could so run anything on the search path. Only the library's own classes are allowed, at any depth. dataset_info.json names the files of
the records, and a feature may name a file of labels: none may lie elsewhere.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sde_vae.data.datasets.tfds_folder import tfds_errors
from sde_vae.errors import BadInput

# The feature classes of tensorflow-datasets 4, by the modules in which they are.
CLASSES = {
    f"tensorflow_datasets.core.features.{name}"
    for name in (
        "audio_feature.Audio",
        "bounding_boxes.BBoxFeature",
        "class_label_feature.ClassLabel",
        "dataset_feature.Dataset",
        "feature.Tensor",
        "features_dict.FeaturesDict",
        "image_feature.Image",
        "labeled_image.LabeledImage",
        "scalar.Scalar",
        "sequence_feature.Sequence",
        "tensor_feature.Tensor",
        "text_feature.Text",
        "top_level_feature.TopLevelFeature",
        "translation_feature.Translation",
        "translation_feature.TranslationVariableLanguages",
        "video_feature.Video",
    )
}
# The keys under which the formats of the library's versions have a class, and the name of a file.
CLASS_KEYS = ("pythonClassName", "python_class_name", "type")
FILE_KEYS = ("names_file", "namesFile")
MAX_BYTES = 2**24
SHOWN = 80  # characters of a name in a message


def check_features(path: Path, name: str) -> None:
    """Raise BadInput, in a line, if the features.json of the data set `name` in the folder `path` names a class or a file of others.

    A missing file is left to the library.
    """
    file = path / "features.json"
    if not file.exists():
        return
    with tfds_errors(file, path, name):
        if (size := file.stat().st_size) > MAX_BYTES:
            raise ValueError(f"{size} bytes, over {MAX_BYTES}")
        entries = list(_entries(json.loads(file.read_text())))
    for key, value in entries:
        if key in CLASS_KEYS and value not in CLASSES:
            raise BadInput(
                f"{file}: names the feature class {value[:SHOWN]!a}, expected one of tensorflow-datasets' own; nothing was imported; "
                "write the features with tfds.features, and prepare the data set anew"
            )
        if key in FILE_KEYS:
            raise BadInput(
                f"{file}: names a file of labels, {value[:SHOWN]!a}, which is not read; prepare the data set anew with the names in it"
            )


def check_inside(files: list[str], path: Path) -> None:
    """Raise BadInput unless all files of records lie in the folder `path`, as dataset_info.json names them."""
    root = os.path.abspath(path)
    for file in files:
        if os.path.dirname(os.path.abspath(file)) != root:
            raise BadInput(
                f"{path / 'dataset_info.json'}: names the file {file[:SHOWN]!a}, which is not in this folder; prepare it anew"
            )


def _entries(node: Any) -> Iterator[tuple[str, str]]:
    """Yield every (key, text) of a tree, and of the trees that its texts hold as JSON."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if isinstance(value, str):
            yield str(key), value
            try:
                value = json.loads(value)
            except ValueError:
                continue
        yield from _entries(value)
