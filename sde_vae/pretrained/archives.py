"""The entries of a zip archive whose files are stored as they are, as views of the archive."""

import struct
import zipfile
import zlib

from sde_vae.pretrained.maps import Stream, view_of
from sde_vae.pretrained.stand_ins import Refused, shown

# Of the header before an entry: its signature, and the lengths of the name and of what else is there.
HEADER = struct.Struct("<4s22xHH")
SIGNATURE = b"PK\x03\x04"
IN_UTF8 = 0x800


class Archive:
    """The entries by their names. Raises Refused for a compressed archive, or for entries that are larger than the file."""

    def __init__(self, stream: Stream):
        self._whole = view_of(stream)
        with zipfile.ZipFile(stream) as archive:  # type: ignore[arg-type]  # a map reads and seeks, and no more is needed
            entries = archive.infolist()
        stored = all(e.compress_type == zipfile.ZIP_STORED and e.compress_size == e.file_size for e in entries)
        if not stored or sum(e.file_size for e in entries) > len(self._whole):
            raise Refused("it is a compressed archive; torch stores its files as they are")
        self.entries = {entry.filename: entry for entry in entries}

    def view(self, name: str) -> memoryview:
        """Return the bytes of an entry, which are not read. Raises KeyError, or Refused unless its own header is where it must be."""
        entry = self.entries[name]
        place = entry.header_offset + HEADER.size
        head = self._whole[entry.header_offset : place]
        signature, length, more = HEADER.unpack(head) if len(head) == HEADER.size else (b"", 0, 0)
        coding = "utf-8" if entry.flag_bits & IN_UTF8 else "cp437"
        if signature != SIGNATURE or str(self._whole[place : place + length], coding, "replace") != entry.orig_filename:
            raise Refused(f"{shown(name)} is not where the directory of the archive says")
        start = place + length + more
        if start + entry.file_size > len(self._whole):
            raise Refused(
                f"cut short: {shown(name)} has {entry.file_size} bytes, and {len(self._whole) - start} are left"
            )
        return self._whole[start : start + entry.file_size]

    def check(self, name: str) -> None:
        """Read an entry and compare its checksum, where it has one (torch can leave it out, as 0). Raises Refused if it is wrong."""
        if (expected := self.entries[name].CRC) and zlib.crc32(self.view(name)) != expected:
            raise Refused(f"the checksum of {shown(name)} is wrong: the file is damaged")

    def read(self, name: str) -> bytes:
        """Return the bytes of a short entry, checked."""
        self.check(name)
        return bytes(self.view(name))
