"""Read safetensors: a header in JSON says of each array its type, its shape and where its bytes lie; the bytes follow the header."""

import json
import math
from typing import Any

import ml_dtypes
import numpy as np

from sde_vae.pretrained.leaves import Leaf
from sde_vae.pretrained.maps import Stream, view_of
from sde_vae.pretrained.numpy_files import are_counts
from sde_vae.pretrained.stand_ins import Refused, shown

# Bytes of the header: a hundred for each array. Parsed, it takes some twenty times as many.
MAX_HEADER = 5_000_000
PARTS = {"dtype", "shape", "data_offsets"}
METADATA = "__metadata__"
TYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


class Described(Leaf):
    """An array of the file: its type, its shape, and its bytes, which have not been read."""

    __slots__ = ("data", "dtype", "shape")

    def __init__(self, dtype: str, shape: tuple[int, ...], data: memoryview):
        self.dtype, self.shape, self.data = dtype, shape, data

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape. Raises Refused for a type that is not known, or a number of bytes that is not the shape's."""
        if self.dtype not in TYPES:
            raise Refused(f"it is an array of type {shown(self.dtype)}, which we do not read")
        if math.prod(self.shape) * np.dtype(TYPES[self.dtype]).itemsize != len(self.data):
            raise Refused(f"it is an array of shape {self.shape} and type {self.dtype} in {len(self.data)} bytes")
        return self.shape

    @property
    def array(self) -> np.ndarray:
        """Return a view of the file."""
        sizes = self.sizes
        return np.frombuffer(self.data, TYPES[self.dtype]).reshape(sizes)


def read(stream: Stream) -> dict[str, Described]:
    """Return name -> array. Raises Refused, which names the array that is wrong, or any error of a corrupt header.

    The arrays lie one after the other and fill the file, as the format demands: nothing overlaps and nothing is hidden.
    """
    whole = view_of(stream)
    if (size := int.from_bytes(whole[:8], "little")) > min(MAX_HEADER, len(whole) - 8):
        raise Refused(f"header too large: {size} bytes in a file of {len(whole)}, at most {MAX_HEADER} are read")
    header, body = json.loads(bytes(whole[8 : 8 + size]), object_pairs_hook=_object), whole[8 + size :]
    if not isinstance(header, dict):
        raise Refused("its header is not a dict of arrays")
    entries = {name: _entry(name, entry) for name, entry in header.items() if name != METADATA}
    end, found = 0, {}
    for name, (dtype, shape, (start, stop)) in sorted(entries.items(), key=lambda item: item[1][2]):
        if start != end or stop < start:
            raise Refused(f"{shown(name)} lies at bytes {start} to {stop}, and not from {end} on")
        if stop > len(body):
            raise Refused(f"cut short: of the {stop - start} bytes of {shown(name)}, {len(body) - start} are left")
        found[name], end = Described(dtype, shape, body[start:stop]), stop
    if end < len(body):
        raise Refused(f"{len(body) - end} bytes at its end belong to no array")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | tuple:
    """Return a dict of the header, or of an array (type, shape, offsets). Raises Refused for names that are there twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("its header has the same name twice")
    return (found["dtype"], found["shape"], found["data_offsets"]) if found.keys() == PARTS else found


def _entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """Return (type, shape, (start, stop)) of an array. Raises Refused unless they are of these types."""
    dtype: Any
    shape: Any
    offsets: Any
    dtype, shape, offsets = entry if isinstance(entry, tuple) else (None, None, None)
    lists = isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2
    if not lists or not isinstance(dtype, str) or not are_counts(tuple(shape)) or not are_counts(tuple(offsets)):
        raise Refused(f"its header describes {shown(name)} in a way we do not know")
    return dtype, tuple(shape), (offsets[0], offsets[1])
