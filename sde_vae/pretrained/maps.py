"""Files mapped into memory: nothing is read before it is used, and nothing is copied that can be viewed."""

import io
import mmap
from pathlib import Path

from sde_vae.errors import BadInput

# A stream with a place in it, whose bytes can be viewed.
Stream = io.BytesIO | mmap.mmap


def mapped(path: Path) -> Stream:
    """Map a file into memory, to be read only.

    The file must stay as it is while views of the map are in use. Raises BadInput, which names the file, if it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise BadInput(f"{path}: not a file; give the path of a weight file")
        with path.open("rb") as file:
            empty = not file.read(1)
            # Nothing can be mapped of an empty file.
            return io.BytesIO() if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); give the path of a weight file") from error


def view_of(stream: Stream) -> memoryview:
    """Return all bytes of a stream, read only."""
    return stream.getbuffer().toreadonly() if isinstance(stream, io.BytesIO) else memoryview(stream)
