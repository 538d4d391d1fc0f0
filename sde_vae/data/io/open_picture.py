"""Bytes to a picture of Pillow with 8 bits a channel, and a list of what was changed on the way."""

import io
import re
import threading
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sde_vae.data.io.formats import EXPECTED, FORMATS
from sde_vae.errors import BadInput, shortened

ORIENTATION = 0x0112  # of EXIF
# Filters of warnings belong to the process, so one thread at a time changes them.
FILTERS_OF_WARNINGS = threading.Lock()
# Modes with 8 bits, after `simple`: grey and colour, without and with alpha.
SIMPLE = ("L", "LA", "RGB", "RGBA")
# The longest side of a JPEG. Decoders hold whole rows, several times.
LONGEST_SIDE = 65_535


class Opened(NamedTuple):
    """A picture, loaded and turned upright, and its changes so far."""

    picture: Image.Image
    changes: tuple[str, ...]


def open_header(data: bytes, name: str) -> Image.Image:
    """Return a picture of which only the header is read. Raises BadInput, which names it, for none, or one that is too large."""
    try:
        with FILTERS_OF_WARNINGS, warnings.catch_warnings():
            # Pillow warns of a picture that is too large, and goes on.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            header = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise BadInput(f"{name}: not a picture in {EXPECTED}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))
        raise BadInput(
            f"{name}: has {pixels[0] if pixels else 'too many'} pixels, over the limit of {Image.MAX_IMAGE_PIXELS}: make it smaller"
        ) from None
    except Exception as error:  # Pillow's decoders raise many types of errors
        raise _damaged(name, error) from None
    if max(header.size) > LONGEST_SIDE:
        raise BadInput(
            f"{name}: is {header.width}x{header.height}, over the limit of {LONGEST_SIDE} for a side: cut it"
        )
    return header


def load(picture: Image.Image, name: str) -> Opened:
    """Decode a picture and turn it upright. Raises BadInput, which names it, for a damaged one."""
    changes = []
    try:
        # The second picture of an MPO file, as phones write them, is a depth map or another view.
        if picture.format != "MPO" and getattr(picture, "is_animated", False):
            changes.append("first_frame")
        # The tiles name the raw modes; 16 bits may also be a pixel's, as in BGR;16.
        if any(re.search(r"(?<!BGR);16", str(tile[3])) for tile in getattr(picture, "tile", ())):
            changes.append("16_bits")
        picture.load()
        if picture.getexif().get(ORIENTATION, 1) != 1:
            ImageOps.exif_transpose(picture, in_place=True)
            changes.append("turned")
    except Exception as error:
        raise _damaged(name, error) from None
    if picture.mode.startswith("I") and "16_bits" not in changes and picture.format in ("PNG", "PPM", "JPEG2000", None):
        changes.append("16_bits")
    return Opened(picture, tuple(changes))


def simple(opened: Opened, name: str) -> Opened:
    """Convert a picture to a mode of SIMPLE, with alpha only where it is not 255 everywhere.

    Raises BadInput, which names it, for a mode that 8 bits cannot hold.
    """
    picture, changes = opened
    if picture.mode.startswith("I") and "16_bits" in changes:
        picture = _upper_bits(picture)
    elif picture.mode in ("CMYK", "YCbCr"):
        changes += ("cmyk",) if picture.mode == "CMYK" else ()
        picture = picture.convert("RGB")
    elif picture.has_transparency_data and picture.mode not in ("LA", "RGBA"):
        picture = picture.convert("LA" if picture.mode in ("1", "L", "La") else "RGBA")
    elif picture.mode in ("1", "P", "PA", "RGBX"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    if picture.mode not in SIMPLE:
        raise BadInput(f"{name}: is of mode {picture.mode}, which 8-bit grey or RGB cannot hold: convert it to PNG")
    if picture.mode in ("LA", "RGBA") and picture.getchannel("A").getextrema()[0] == 255:
        picture = picture.convert(picture.mode[:-1])
    picture.info.pop("transparency", None)  # otherwise Pillow warns that it is lost
    return Opened(picture, changes)


def has_colour(picture: Image.Image) -> bool:
    """Return whether the channels of an RGB or RGBA picture differ anywhere."""
    red, *others = (np.asarray(picture.getchannel(c)) for c in "RGB")
    return any(not np.array_equal(red, other) for other in others)


def _upper_bits(picture: Image.Image) -> Image.Image:
    """The upper 8 of 16 bits, as Pillow takes them of colour."""
    values = np.asarray(picture)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int) and np.any(values == transparent):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _damaged(name: str, error: Exception) -> BadInput:
    return BadInput(f"{name}: corrupt or truncated ({shortened(' '.join(str(error).split()))})")
