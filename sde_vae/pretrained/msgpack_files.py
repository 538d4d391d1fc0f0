"""Read the arrays of a Flax checkpoint, which is msgpack, without the rest of it.

msgpack is data: nothing in it can run. But a file may declare any length and depth. Here each length is compared with what is left of the
file before it is used, and what is not asked for is passed over: the optimizer of a checkpoint is never built. The format is that of
flax.serialization: nested maps with text as keys; an array is extension 1, which holds (shape, name of the type, bytes).
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from sde_vae.errors import BadInput, shortened
from sde_vae.pretrained.maps import mapped, view_of
from sde_vae.pretrained.stand_ins import MAX_NAME, Refused, shown

MAX_DEPTH = 64
# Values of all kinds. A checkpoint with an optimizer has a few thousand.
MAX_VALUES = 100_000
ARRAY = 1
DTYPES = {
    name: np.dtype(name)
    for name in ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool")
}
DTYPES["bfloat16"] = np.dtype(ml_dtypes.bfloat16)
# First byte -> width of the big-endian length that follows it.
TEXTS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
LISTS = {0xDC: 2, 0xDD: 4}
MAPS = {0xDE: 2, 0xDF: 4}
# First byte -> bytes of the number that follows it; None, False and True have none.
NUMBERS = {
    0xC0: 0,
    0xC2: 0,
    0xC3: 0,
    0xCA: 4,
    0xCB: 8,
    **{0xCC + i: 2**i for i in range(4)},
    **{0xD0 + i: 2**i for i in range(4)},
}


def is_flax(data: bytes) -> bool:
    """Return whether data start as a map whose first key is a short text, as Flax's checkpoints do.

    >>> is_flax(b"\\x87\\xa4step\\x00"), is_flax(b"\\x80\\x02}"), is_flax(b"PK\\x03\\x04")
    (True, False, False)
    """
    return len(data) > 1 and 0x81 <= data[0] <= 0x8F and 0xA1 <= data[1] <= 0xBF


def read_flax(path: Path, wanted: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """Return name -> array of the arrays that are wanted, read-only views of the mapped file.

    The names of nested maps are joined by "/". Raises BadInput, which names the file, if it is corrupt or cut short.
    """
    reader = _Reader(data := view_of(mapped(path)))
    try:
        arrays = dict(reader.arrays(wanted))
        if reader.at != len(data):
            raise Refused(f"{len(data) - reader.at} bytes follow its end")
    except (Refused, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not a whole Flax checkpoint: {shortened(str(error), 300)}; fetch it again") from error
    return arrays


class _Reader:
    """A place in a file. Methods read what stands there and move on; they raise Refused at the end of the file."""

    def __init__(self, data: memoryview):
        self.data, self.at, self.values = data, 0, 0

    def take(self, size: int) -> memoryview:
        """Return the next bytes."""
        if size > len(self.data) - self.at:
            raise Refused(f"it ends at byte {len(self.data)}, where {size} bytes from {self.at} on are declared")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, width: int) -> int:
        """Return the next unsigned number."""
        return int.from_bytes(self.take(width), "big")

    def tag(self) -> int:
        """Return the first byte of the next value."""
        if (counted := self.values) >= MAX_VALUES:
            raise Refused(f"it has over {MAX_VALUES} values")
        self.values = counted + 1
        return self.number(1)

    def count(self, tag: int, small: range, widths: dict[int, int], each: int) -> int | None:
        """Return the number of items of a value with this first byte, of at least `each` bytes an item; None for another kind."""
        if tag not in small and tag not in widths:
            return None
        n = tag - small.start if tag in small else self.number(widths[tag])
        if n * each > len(self.data) - self.at:
            raise Refused(f"it declares {n} items where {len(self.data) - self.at} bytes are left")
        return n

    def text(self) -> str:
        """Return the next value, a text of at most MAX_NAME bytes."""
        n = self.count(self.tag(), range(0xA0, 0xC0), TEXTS, 1)
        if n is None or n > MAX_NAME:
            raise Refused(f"a key is not a text of at most {MAX_NAME} bytes")
        return str(self.take(n), "utf8")

    def arrays(self, wanted: Callable[[str], bool], place: tuple[str, ...] = ()) -> Any:
        """Yield (name, array) of the next value: of all wanted arrays in it. Other values are passed over."""
        name, tag = "/".join(place), self.tag()
        if len(place) > MAX_DEPTH or len(name) > MAX_NAME:
            raise Refused(f"its maps are over {MAX_DEPTH} deep, or their names over {MAX_NAME} characters")
        if (n := self.count(tag, range(0x80, 0x90), MAPS, 2)) is not None:
            seen: set[str] = set()
            for _ in range(n):
                if (key := self.text()) in seen:
                    raise Refused(f"two items of {shown(name)} have the same name {shown(key)}")
                seen.add(key)
                yield from self.arrays(wanted, (*place, key))
        elif (n := self.count(tag, range(0x90, 0xA0), LISTS, 1)) is not None:
            for i in range(n):
                yield from self.arrays(wanted, (*place, str(i)))
        elif tag in EXTENSIONS or tag in FIXED_EXTENSIONS:
            size = FIXED_EXTENSIONS[tag] if tag in FIXED_EXTENSIONS else self.number(EXTENSIONS[tag])
            kind, payload = self.number(1), self.take(size)
            if kind == ARRAY and wanted(name):
                yield name, _array(payload, name)
        elif (n := self.count(tag, range(0xA0, 0xC0), TEXTS | BYTES, 1)) is not None:
            self.take(n)
        elif tag in NUMBERS:
            self.take(NUMBERS[tag])
        elif 0x80 <= tag < 0xE0:
            raise Refused(f"{shown(name)} begins with the byte {tag:#x}, which msgpack does not use here")


def _array(payload: memoryview, name: str) -> np.ndarray:
    """Return the array of an extension: a list of shape, name of the type and bytes."""
    reader = _Reader(payload)
    if reader.tag() != 0x93:
        raise Refused(f"the array {shown(name)} is not described as Flax does")
    axes = reader.count(reader.tag(), range(0x90, 0xA0), LISTS, 1)
    if axes is None or axes > 32:
        raise Refused(f"the array {shown(name)} has no shape")
    shape = tuple(_whole(reader, name) for _ in range(axes))
    dtype = DTYPES.get(kind := reader.text())
    n = reader.count(reader.tag(), range(0), BYTES, 1)
    if dtype is None or n is None:
        raise Refused(f"the array {shown(name)} is of type {shown(kind)}, which we do not read")
    if n != math.prod(shape) * dtype.itemsize or reader.at + n != len(payload):
        raise Refused(f"the array {shown(name)} of shape {shape} and type {kind} is in {n} bytes")
    return np.frombuffer(reader.take(n), dtype).reshape(shape)


def _whole(reader: _Reader, name: str) -> int:
    """Return the next value, a length of an axis."""
    tag = reader.tag()
    if tag < 0x80:
        return tag
    if not 0xCC <= tag <= 0xCF:
        raise Refused(f"the shape of the array {shown(name)} is not of whole numbers from 0 up")
    return reader.number(NUMBERS[tag])
