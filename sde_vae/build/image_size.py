"""config.data.image_size: one number for square images, or a height and a width."""

import ast
import contextlib
from typing import Any

from ml_collections import ConfigDict

from sde_vae.build.fields import IMAGE_SIZE
from sde_vae.data.dataset import height_and_width
from sde_vae.errors import BadInput

FIELD = "data.image_size"
SHOWN = 60  # characters of a value in a message


def image_shape(config: ConfigDict) -> tuple[int, int, int]:
    """Return the shape (H, W, C) of the config's images."""
    return (*height_and_width(config.data.image_size), config.data.channels)


def set_image_size(config: ConfigDict, value: Any) -> None:
    """Set the field of `config`. Raises BadInput as `read_image_size` does."""
    # ConfigDict's own check knows one type a field, and this one has two.
    with config.data.ignore_type():
        config.data.image_size = read_image_size(value)


def read_image_size(value: Any) -> int | tuple[int, int]:
    """Return a number or a pair, of a value from Python, from JSON (a list), or of a command line's text.

    Raises BadInput for anything else. The range of a number is checked with all other fields.

    >>> read_image_size("16"), read_image_size("16,24"), read_image_size("(16, 24)"), read_image_size([16, 24])
    (16, (16, 24), (16, 24), (16, 24))
    """
    found = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            found = ast.literal_eval(value.strip())
    if isinstance(found, list):
        found = tuple(found)
    # Numbers below 1 pass: their message is that of the range.
    if not (_whole(found) or (isinstance(found, tuple) and len(found) == 2 and all(map(_whole, found)))):
        raise BadInput(f"config.{FIELD}: got {repr(value)[:SHOWN]}, expected {IMAGE_SIZE.text}")
    return found


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
