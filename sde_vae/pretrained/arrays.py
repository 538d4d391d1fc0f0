"""Read third-party weight files as plain arrays under flat names.

The formats are PyTorch's files (both formats of torch.save), pickles of nested dicts of numpy arrays, and safetensors. The format is
recognised by the content. The file is mapped into memory: what is not asked for is not read. Nothing that a file names is run or
imported. No memory is allocated for a size that a file only declares, and what is built is at most some times as large as the file.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sde_vae.errors import BadInput, reason, shortened
from sde_vae.pretrained import numpy_files, safetensors_files, torch_files
from sde_vae.pretrained.leaves import Leaf, Wanted, everything, leaves
from sde_vae.pretrained.maps import Stream, mapped, view_of
from sde_vae.pretrained.stand_ins import Opaque, Refused, refuse, shown

# Arrays may share their bytes (tied weights): all arrays together have at most so many times the bytes of the file.
MAX_SHARING = 8
T = TypeVar("T")
Reader = Callable[[Stream, Callable[[str], Any]], Any]


def read_arrays(path: Path, wanted: Wanted = everything) -> dict[str, np.ndarray]:
    """Return name -> array, for the names that are wanted.

    The names of nested dicts are joined by "/", as in "Conv_0/kernel", and lists and tuples of arrays give their places, as in
    "ema/shadow_params/0". torch's dots are kept. Python numbers become arrays of shape [], and None is left out. The arrays are read-only
    views of the file, which must stay as it is while they are in use: copy what is to last.

    With `wanted`, a file may hold anything else beside what is wanted: optimizers, callbacks of unknown classes, text. Their bytes are not
    read, and their classes are not run. Without it, all that the file holds must be arrays.

    Raises BadInput, which names the file, if it cannot be read, is truncated or corrupt, or holds anything but arrays where they are
    wanted.
    """
    with _named_errors(path):
        stream = mapped(path)
        found, size, most = {}, 0, MAX_SHARING * len(view_of(stream))
        for name, array in _each(path, stream, wanted, lambda leaf: leaf.array):
            if (size := size + array.nbytes) > most:
                raise Refused(f"its arrays are of over {most} bytes in all, far more than the file")
            array.flags.writeable = False
            found[name] = array
        return found


def read_shapes(path: Path, wanted: Wanted = everything) -> dict[str, tuple[int, ...]]:
    """Return name -> shape, for the names that are wanted, without reading the arrays: see `read_arrays`."""
    with _named_errors(path):
        return dict(_each(path, mapped(path), wanted, lambda leaf: leaf.sizes))


def is_known(path: Path) -> bool:
    """Return whether a file starts as one of the formats does. Raises BadInput if it cannot be read."""
    return _reader(mapped(path)) is not None


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Raise BadInput, which names the file, for any error of a reader."""
    try:
        yield
    except BadInput:
        raise
    except Refused as error:
        raise BadInput(f"{path}: refused: {shortened(str(error), 300)}") from error
    except Exception as error:  # a corrupt pickle or archive may raise anything at all
        raise BadInput(f"{path}: corrupt or cut short ({reason(error)}); fetch it again") from error


def _each(path: Path, stream: Stream, wanted: Wanted, get: Callable[[Leaf], T]) -> Iterator[tuple[str, T]]:
    """Yield (name, get(leaf)). Raises BadInput for a format that is not known, and Refused with the name of the array that is wrong."""
    if (reader := _reader(stream)) is None:
        known = "torch.save's, a pickle of numpy arrays, or safetensors"
        raise BadInput(f"{path}: not a weight file we know; expected {known}")
    tree = reader(stream, refuse if wanted is everything else Opaque)
    names = set()
    for name, leaf in leaves(tree, wanted):
        if name in names:
            raise Refused(f"two of its arrays have the same name {shown(name)}")
        names.add(name)
        try:
            found = get(leaf)
        except Refused as error:
            raise Refused(f"{shown(name)}: {error}") from error
        yield name, found


def _reader(stream: Stream) -> Reader | None:
    """Return the reader for a file's first bytes: a zip archive, torch's magic number, a pickle, or safetensors' JSON header."""
    start = bytes(view_of(stream)[:32])
    if start.startswith(b"PK\x03\x04"):
        return torch_files.read_zip
    if torch_files.is_legacy(start):
        return torch_files.read_legacy
    # The size of a header may start with the same two bytes as a pickle; it is less than 2^24.
    if len(start) > 1 and start[0] == 0x80 and start[1] <= 5 and start[3:9] != b"\0\0\0\0\0{":
        return numpy_files.read
    return (lambda stream, _: safetensors_files.read(stream)) if start[8:9] == b"{" else None
