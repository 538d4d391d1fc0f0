"""JSON files of somebody else: bounded in size, and every value of the type that is expected."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sde_vae.errors import BadInput, reason, shortened

# Bytes: the longest files of this kind hold a schedule of some thousand numbers.
MAX_BYTES = 4_000_000


class Kind(NamedTuple):
    """What a value may be: a test, and its words for an error."""

    accepts: Callable[[Any], bool]
    words: str


def read_object(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds. Raises BadInput, naming the file, if it is too large, cannot be read or holds none."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give a JSON file") from error
    if len(data) > MAX_BYTES:
        raise BadInput(f"{path}: over {MAX_BYTES:,} bytes, expected a JSON file of some options")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: no JSON ({reason(error)}); fetch it again") from error
    if not isinstance(value, dict):
        raise BadInput(f"{path}: holds a {type(value).__name__}, expected a JSON object of options")
    return value


def require(where: str, name: str, value: Any, kind: Kind) -> None:
    """Raise BadInput, naming the file and the option, unless the value is of this kind."""
    if not kind.accepts(value):
        raise BadInput(f"{where}: {name} is {shortened(repr(value), 80)}, expected {kind.words}")


def whole(least: int, most: int) -> Kind:
    """Return the kind of the whole numbers from `least` to `most`.

    >>> whole(0, 9).accepts(9), whole(0, 9).accepts(True), whole(0, 9).accepts(3.0)
    (True, False, False)
    """
    is_whole = lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
    return Kind(is_whole, f"a whole number from {least} to {most}")


def or_null(kind: Kind) -> Kind:
    """Return the kind of a value that may be missing."""
    return Kind(lambda value: value is None or kind.accepts(value), f"{kind.words}, or null")


def list_of(kind: Kind, least: int, most: int) -> Kind:
    """Return the kind of lists of `least` to `most` values of a kind."""
    is_list = lambda value: isinstance(value, list) and least <= len(value) <= most and all(map(kind.accepts, value))
    return Kind(is_list, f"a list of {least} to {most} values, each {kind.words}")


def either(*kinds: Kind) -> Kind:
    """Return the kind of values of any of several kinds."""
    return Kind(lambda value: any(kind.accepts(value) for kind in kinds), ", or ".join(kind.words for kind in kinds))


NUMBER = Kind(
    lambda value: isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value), "a number"
)
BOOLEAN = Kind(lambda value: isinstance(value, bool), "true or false")
TEXT = Kind(lambda value: isinstance(value, str), "a text")
