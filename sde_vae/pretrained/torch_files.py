"""Read the two formats of torch.save without torch.

Since torch 1.6 a file is a zip archive: `data.pkl` describes the tensors, and `data/KEY` holds the bytes of each storage. The
older format is five pickles in a row: a magic number, a protocol, facts on the machine, the description, and the list of the
storages' keys. Each storage follows, as its number of elements (int64) and its bytes. The description names a storage by a
"persistent id", and a tensor by its storage, offset, sizes and strides, all counted in elements.
"""

import io
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from sde_vae.pretrained.archives import Archive
from sde_vae.pretrained.leaves import Leaf, places
from sde_vae.pretrained.maps import Stream, view_of
from sde_vae.pretrained.numpy_files import are_counts
from sde_vae.pretrained.pickles import load
from sde_vae.pretrained.stand_ins import Refused, Sealed, StandIn, ordered, refuse, shown

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


class StorageType(NamedTuple):
    """The stand-in of a storage class of torch, such as torch.FloatStorage."""

    dtype: np.dtype


class Storage(Sealed):
    """The memory that tensors share: a view of the file, which is read, and checked once, when a tensor is asked for."""

    __slots__ = ("_check", "_flat", "dtype", "size")

    def __init__(self, dtype: np.dtype, size: int):
        self.dtype, self.size = dtype, size
        self._flat: np.ndarray | None = None
        self._check: Callable[[], None] | None = None

    def fill(self, key: str, data: bytes | memoryview, check: Callable[[], None] | None = None) -> None:
        """Set the bytes of the storage `key`, and what raises Refused if they are damaged. Raises Refused for a wrong number of them."""
        if len(data) != self.size * self.dtype.itemsize:
            raise Refused(f"storage {shown(key)} has {len(data)} bytes for {self.size} elements of {self.dtype}")
        self._flat, self._check = np.frombuffer(data, self.dtype), check

    @property
    def flat(self) -> np.ndarray:
        """Return the elements. Raises Refused if they are not there, or damaged."""
        if self._flat is None:
            raise Refused("a tensor has a storage without bytes")
        if self._check is not None:
            self._check()
            self._check = None
        return self._flat


class Tensor(Sealed, Leaf):
    """A tensor as a pickle describes it."""

    __slots__ = ("offset", "size", "storage", "stride")

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, *_):
        known = isinstance(storage, Storage) and are_counts((offset,)) and are_counts(size) and are_counts(stride)
        if not known or len(size) != len(stride):
            raise Refused("it describes a tensor in a way we do not know")
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape. Raises Refused if it reaches outside the storage, or repeats elements so that a copy would be larger than that."""
        if math.prod(self.size):
            last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))
            if last >= self.storage.size or math.prod(self.size) > self.storage.size:
                raise Refused(f"a tensor of sizes {self.size} does not fit its storage of {self.storage.size} elements")
        return self.size

    @property
    def array(self) -> np.ndarray:
        """Return a view of the storage."""
        sizes, flat = self.sizes, self.storage.flat
        if math.prod(sizes) == 0:
            return np.zeros(sizes, flat.dtype)
        strides = [s * flat.itemsize for s in self.stride]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], sizes, strides, writeable=False)


def parameter(tensor: Any, *_) -> Any:
    """Return the tensor of a torch.nn.Parameter."""
    return tensor


TYPES = {
    "Double": np.float64,
    "Float": np.float32,
    "Half": np.float16,
    "BFloat16": ml_dtypes.bfloat16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Bool": np.bool_,
}
GLOBALS = {
    "collections.OrderedDict": StandIn(ordered),
    "torch._utils._rebuild_tensor": StandIn(Tensor),
    "torch._utils._rebuild_tensor_v2": StandIn(Tensor),
    "torch._utils._rebuild_parameter": StandIn(parameter),
    **{f"torch.{name}Storage": StorageType(np.dtype(dtype)) for name, dtype in TYPES.items()},
}


class Storages(dict[str, Storage]):
    """All storages that a description names, by their keys."""

    def named(self, pid: Any) -> Storage:
        """Return the storage of a persistent id: ("storage", type, key, device, number of elements[, view])."""
        if not isinstance(pid, tuple) or not 5 <= len(pid) <= 6:
            raise Refused(f"it names something outside of itself, {shown(pid)}")
        kind, storage_type, key, _, size, *view = pid
        known = (
            shown(kind) == "'storage'"
            and isinstance(storage_type, StorageType)
            and isinstance(key, str)
            and are_counts((size,))
        )
        if not known or any(part is not None for part in view):
            raise Refused("it describes a storage in a way we do not know")
        return self.setdefault(key, Storage(storage_type.dtype, size))


def is_legacy(start: bytes) -> bool:
    """Return whether a file's first bytes are a pickle of torch's magic number, a ten-byte LONG1 after a header of any protocol."""
    return b"\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"." in start[:32]


def read_zip(stream: Stream, unknown: Callable[[str], Any] = refuse) -> Any:
    """Return the saved object of a zip archive; no storage is read. `unknown` is that of pickles.load.

    Raises Refused, or any error of a corrupt archive.
    """
    archive = Archive(stream)
    roots = [name.removesuffix("data.pkl") for name in archive.entries if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise Refused("it is a zip archive without a data.pkl, and so none of torch's")
    root = roots[0]
    if f"{root}byteorder" in archive.entries and archive.read(f"{root}byteorder") != b"little":
        raise Refused("it was written on a big-endian machine")
    storages = Storages()
    described = load(io.BytesIO(archive.read(f"{root}data.pkl")), GLOBALS, storages.named, unknown)
    for key, storage in storages.items():
        name = f"{root}data/{key}"
        storage.fill(key, archive.view(name), partial(archive.check, name))
    return described


def read_legacy(stream: Stream, unknown: Callable[[str], Any] = refuse) -> Any:
    """Return the saved object of the format before torch 1.6, as `read_zip` does. That format has no checksums."""
    whole = view_of(stream)
    magic, protocol, machine = (load(stream, {}) for _ in range(3))
    if not isinstance(protocol, int) or protocol != PROTOCOL or magic != MAGIC:
        raise Refused(f"it is of protocol {shown(protocol)}, and not {PROTOCOL}")
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise Refused("it was written on a big-endian machine")
    storages = Storages()
    described = load(stream, GLOBALS, storages.named, unknown)
    keys = load(stream, {})
    known = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not known or sorted(keys) != sorted(storages):
        raise Refused("the storages that it holds are not those that its tensors use")
    for key in keys:
        storage = storages[key]
        if (size := int.from_bytes(stream.read(8), "little")) != storage.size:
            raise Refused(f"storage {shown(key)} has {size} elements, and not {storage.size}")
        start, needed = stream.tell(), size * storage.dtype.itemsize
        if needed > len(whole) - start:
            left = len(whole) - start
            raise Refused(f"cut short: of the {needed} bytes of {_user(described, storage)}, {left} are left")
        storage.fill(key, whole[start : start + needed])
        stream.seek(needed, io.SEEK_CUR)
    return described


def _user(tree: Any, storage: Storage) -> str:
    """Return the name of the first tensor with a storage, for a message."""
    names = (
        name for name, node in places(tree, lambda name: False) if isinstance(node, Tensor) and node.storage is storage
    )
    return shown(next(names, "a storage"))
