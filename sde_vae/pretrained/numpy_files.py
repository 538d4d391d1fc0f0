"""Read pickles of nested dicts of numpy arrays, with stand-ins for the types and functions that such pickles name."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from sde_vae.pretrained.leaves import Leaf
from sde_vae.pretrained.maps import Stream
from sde_vae.pretrained.pickles import load
from sde_vae.pretrained.stand_ins import MAX_TUPLE, Refused, StandIn, ordered, refuse, shown


class DType:
    """A plain number type: bool, int, uint, float or complex, of either byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, *_):
        if not (isinstance(code, str) and re.fullmatch(r"[<>|=]?([biuc]\d{1,2}|f[248])", code)):
            raise Refused(f"it holds an array of type {shown(code)}, which is not a type of number")
        self.code, self.order = code.lstrip("<>|="), code[0] if code[0] in "<>|=" else "="

    def __setstate__(self, state):
        parts = list(state) if isinstance(state, tuple) else []
        order, plain = parts[1:2], len(parts) >= 5 and all(part is None for part in parts[2:5])
        if not plain or not isinstance(order[0], str) or order[0] not in ("<", ">", "|", "="):
            raise Refused("it holds an array of records")
        self.order = order[0]

    @property
    def numpy(self) -> np.dtype:
        """The numpy type."""
        return np.dtype(self.order + self.code)


class NumpyArray(Leaf):
    """An array as a pickle describes it. numpy's state of an array is (version, shape, dtype, is it Fortran, data)."""

    __slots__ = ("axes", "data", "dtype", "order", "shape")

    # Checked before it is used.
    axes: Any
    order: Any

    def __setstate__(self, state):
        if not isinstance(state, tuple) or len(state) < 4:
            raise Refused("it holds an array without a shape, a type and data")
        self.shape, self.dtype, fortran, self.data = state[-4:]
        self.order, self.axes = "F" if fortran is True else "C", None

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape. Raises Refused unless the number of bytes is exactly what it needs."""
        if not hasattr(self, "shape"):
            raise Refused("it holds an array without a shape, a type and data")
        if not (isinstance(self.data, bytes | bytearray | memoryview | str) and isinstance(self.dtype, DType)):
            raise Refused("it holds an array that is not plain numbers")
        known = are_counts(self.shape) and isinstance(self.order, str) and self.order in ("C", "F")
        if not known or not (self.axes is None or are_counts(self.axes)):
            raise Refused("it holds an array whose shape or order of axes we do not know")
        if math.prod(self.shape) * self.dtype.numpy.itemsize != len(self.data):
            raise Refused(f"it holds an array of shape {self.shape} in {len(self.data)} bytes")
        return self.shape if self.axes is None else tuple(self.shape[axis] for axis in self.axes)

    @property
    def array(self) -> np.ndarray:
        """Return a view of the pickle's own bytes."""
        _ = self.sizes
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        whole = np.frombuffer(data, self.dtype.numpy).reshape(self.shape, order="F" if self.order == "F" else "C")
        return whole if self.axes is None else whole.transpose(self.axes)


def are_counts(numbers: Any) -> bool:
    """Return whether these are whole numbers of 64 bits from 0 up, as many as an array can have axes."""
    return (
        isinstance(numbers, tuple)
        and len(numbers) <= MAX_TUPLE
        and all(type(n) is int and 0 <= n < 2**63 for n in numbers)
    )


def finished(data: Any, dtype: Any, shape: Any, order: Any = "C", axes: Any = None) -> NumpyArray:
    """Return an array from one call, as protocol 5 makes it. Order "K" is C order with the axes then permuted."""
    whole = NumpyArray()
    whole.shape, whole.dtype, whole.data, whole.axes = shape, dtype, data, axes
    whole.order = "C" if isinstance(order, str) and order == "K" else order
    return whole


def latin1(text: Any, encoding: Any) -> Any:
    """Return bytes that protocol 2 wrote as text in Latin-1. NumpyArray takes that text unchanged."""
    if not isinstance(encoding, str) or encoding != "latin1":
        raise Refused(f"it encodes text as {shown(encoding)}")
    return text


def frozen(tree: Any) -> Any:
    """Return the dict of a FrozenDict of flax."""
    return tree


def never(*_):
    """Refuse a direct call of numpy.ndarray, which numpy's own pickles do not make."""
    raise Refused("it makes an array other than by numpy's own recipe")


CORE = ("numpy.core", "numpy._core")  # numpy 1 and 2
GLOBALS = {
    "collections.OrderedDict": StandIn(ordered),
    "flax.core.frozen_dict.FrozenDict": StandIn(frozen),
    "_codecs.encode": StandIn(latin1),
    "__builtin__.bytes": StandIn(lambda: b""),  # how protocol 2 writes no bytes at all
    "numpy.ndarray": StandIn(never),
    "numpy.dtype": StandIn(DType),
    **{f"{core}.multiarray._reconstruct": StandIn(lambda *_: NumpyArray()) for core in CORE},
    **{f"{core}.multiarray.scalar": StandIn(lambda dtype, data: finished(data, dtype, ())) for core in CORE},
    **{f"{core}.numeric._frombuffer": StandIn(finished) for core in CORE},
}


def read(stream: Stream, unknown: Callable[[str], Any] = refuse) -> Any:
    """Return the pickled object, with a NumpyArray for each array. `unknown` is that of pickles.load, as is what this raises."""
    return load(stream, GLOBALS, unknown=unknown)
