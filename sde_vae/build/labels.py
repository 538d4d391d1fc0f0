"""config.labels -> the classes of the images."""

import numpy as np
from ml_collections import ConfigDict

from sde_vae.build.fields import HAS_LABELS
from sde_vae.data.dataset import Dataset
from sde_vae.errors import BadInput


def labels_of(config: ConfigDict, data: Dataset, split: str) -> np.ndarray | None:
    """Return the classes of the images of a split, int32 [n]; None of a config without labels.

    Raises BadInput for an attribute that the data lack, and for values that are no whole numbers below config.labels.classes.
    """
    if not HAS_LABELS.holds(config):
        return None
    name, classes, table = config.labels.attribute, config.labels.classes, data.split(split).attributes
    if table is None or name not in data.attributes:
        known = f"one of {', '.join(data.attributes)}" if data.attributes else "empty: these data have no attributes"
        raise BadInput(f"config.labels.attribute: got {name!r}, which {data.name} lacks; expected {known}")
    values = np.asarray(table)[:, data.attributes.index(name)]
    if not np.all(values == np.round(values)) or values.min() < 0:
        raise BadInput(
            f"config.labels.attribute: got {name!r}, which has values from {values.min():g} to {values.max():g}; expected an attribute "
            "with the whole numbers 0, 1, ..."
        )
    if values.max() >= classes:
        raise BadInput(
            f"config.labels.classes: got {classes}, but {name} has values up to {values.max():g}; set {int(values.max()) + 1} or more"
        )
    return values.astype(np.int32)
