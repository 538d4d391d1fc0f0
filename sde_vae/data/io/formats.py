"""Which files are read as pictures, and one line on all that is left out of a folder or zip."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

# Pillow's names. No others are tried: some of its readers run programs, or know no limits.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000")
ENDINGS = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".j2k"),
)
# Endings of pictures that are not read: leaving them out is likely a mistake.
UNREAD = (
    *(".heic", ".heif", ".jxl", ".svg", ".psd", ".eps", ".ico", ".tga", ".exr", ".hdr", ".pcx", ".dds", ".xcf", ".ai"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".raw"),
)
EXPECTED = "PNG, JPEG, WebP, BMP, TIFF, GIF, PPM, AVIF or JPEG 2000"
KINDS = 8  # that a line names


def is_picture(name: str) -> bool:
    """Return whether a file has the ending of a picture that is read.

    >>> is_picture("a/B.JPG"), is_picture("a.txt")
    (True, False)
    """
    return name.lower().endswith(ENDINGS)


def left_out(names: Iterable[str], ignored: Mapping[str, int]) -> str:
    """Return how many files of each kind are left out, the commonest first, or "" for none.

    `ignored` has the number of files that were not even listed, by kind.

    >>> left_out(["a.txt", "b.TXT", "c.heic", "Makefile"], {"hidden file": 2})
    '2 .txt, 2 hidden files, 1 .heic (a picture that is not read: convert it to PNG), 1 without an ending'
    """
    counts = Counter({_kind(kind, n): n for kind, n in ignored.items() if n})
    counts += Counter(_ending(name) for name in names)
    named = [f"{n} {kind}" for kind, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    more = sum(sorted(counts.values())[:-KINDS]) if len(named) > KINDS else 0
    return ", ".join([*named[:KINDS], *([f"{more} of other kinds"] if more else [])])


def _kind(kind: str, n: int) -> str:
    return kind if n == 1 else f"{kind}s"


def _ending(name: str) -> str:
    ending = shown(PurePosixPath(name).suffix.lower())
    if ending in UNREAD:
        return f"{ending} (a picture that is not read: convert it to PNG)"
    return ending or "without an ending"


def shown(name: object) -> str:
    """Return a name of a file as it can be printed: bytes that are not UTF-8 and control characters are escaped.

    >>> shown("a\\x1b[31m.png")
    'a\\\\x1b[31m.png'
    """
    text = str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
