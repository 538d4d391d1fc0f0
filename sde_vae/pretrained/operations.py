"""The operations of a pickle, one after the other: a program for a small stack machine, which is only split here."""

import io
import pickletools
from collections.abc import Iterator
from typing import Any

from sde_vae.pretrained.maps import Stream, view_of

# Operations whose bytes may be many, and how many bytes give their number.
BYTES = {"BINBYTES": 4, "BINBYTES8": 8}
CODES = {code.code.encode("latin1"): code for code in pickletools.opcodes}


def operations(stream: Stream) -> Iterator[tuple[str, Any]]:
    """Yield (name, argument) of each operation up to the last. Bytes are views of the file. Raises ValueError for a corrupt program."""
    name, whole = "", view_of(stream)
    file: Any = stream
    while name != "STOP":
        code = stream.read(1)
        if code not in CODES:
            raise ValueError(f"unknown operation {code!r} at {stream.tell() - 1}" if code else "the pickle has no end")
        name, kind = CODES[code].name, CODES[code].arg
        if name in BYTES:
            size = int.from_bytes(stream.read(BYTES[name]), "little")
            start = stream.tell()
            if size > len(whole) - start:
                raise ValueError(f"expected {size} bytes, but only {len(whole) - start} remain")
            stream.seek(size, io.SEEK_CUR)
            yield name, whole[start : start + size]
        else:
            yield name, None if kind is None else kind.reader(file)
