"""Decode PNG and JPEG bytes to uint8 images of one size, strictly, in order, with a few threads.

EXIF orientation is applied, as in a viewer. Only lossless conversions are made: grey to three equal channels, a palette to its
colours, and alpha that is 1 everywhere to none. The centre crop and then the antialiased resize follow. A picture that has the
right size is not changed.
"""

import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sde_vae.data.cache.record_cache import Picture, Skipped
from sde_vae.data.dataset import DataOptions
from sde_vae.errors import BadInput, choose

FORMATS = ("PNG", "JPEG")
MAX_PIXELS = 2**26  # 8192 x 8192; Pillow warns for larger pictures
FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
GREY, COLOUR = ("1", "L", "LA"), ("RGB", "RGBA", "P", "PA")
MODES = {1: "L", 3: "RGB"}


class Decoded(NamedTuple):
    """A uint8 image [H, W, C], and the kind of the file: its size and grey or colour, equal for all files of a data set."""

    image: np.ndarray
    kind: str


class Unfit(BadInput):
    """The options do not fit a good picture. `kind` is as in Decoded."""

    def __init__(self, message: str, kind: str):
        super().__init__(message)
        self.kind = kind


def decode(data: bytes, name: str, options: DataOptions) -> Decoded:
    """Decode one file and prepare it by `options`.

    Raises BadInput, which names the file, for anything but an undamaged PNG or JPEG, and Unfit if the options do not fit it.
    """
    picture, kind = _open(data, name)
    mode, resampling = _mode_and_filter(options)
    if options.channels == 1 and picture.mode in COLOUR:
        raise Unfit(f"{name}: is in colour ({picture.mode}), and config.data.channels is 1: set it to 3", kind)
    height, width = options.size
    picture = _cropped(picture.convert(mode), name, options, kind)
    if picture.size != (width, height):
        picture = picture.resize((width, height), resampling)
    return Decoded(np.asarray(picture).reshape(height, width, options.channels), kind)


def pictures(
    names: Sequence[str],
    read: Callable[[int], bytes],
    options: DataOptions,
    attributes: np.ndarray | None = None,
    alike: bool = True,
) -> Iterator[Picture | Skipped]:
    """Decode read(0), read(1), ... in order, with attributes[i] for image i.

    With `alike`, a file of another size or number of channels than the first good one is an error. Raises BadInput for a bad
    file. With options.skip_corrupt a Skipped is yielded instead, unless the options do not fit, or more than half of the files
    are bad.
    """
    _mode_and_filter(options)  # wrong options are an error, whatever skip_corrupt is
    first: tuple[str, str] | None = None
    skipped = []

    def decode_file(i: int) -> Decoded | BadInput:
        try:
            return decode(read(i), names[i], options)
        except BadInput as error:
            return error

    for i, item in enumerate(_in_order(decode_file, len(names))):
        # Checked first: options that fit the other files need not fit a file of another kind.
        if alike and first and isinstance(item, Decoded | Unfit) and item.kind != first[1]:
            item = BadInput(f"{names[i]}: is {item.kind}, while {first[0]} is {first[1]}: all must be alike")
        if isinstance(item, Decoded):
            first = first or (names[i], item.kind)
            yield Picture(item.image, None if attributes is None else attributes[i])
            continue
        if isinstance(item, Unfit):
            raise item
        if not options.skip_corrupt:
            raise BadInput(f"{item} (config.data.skip_corrupt=True leaves such files out)")
        skipped.append(str(item))
        yield Skipped(skipped[-1])
    if 2 * len(skipped) > len(names):  # possibly the first file is the bad one
        raise BadInput(
            f"config.data.dir: {len(skipped)} of {len(names)} files cannot be used: {'; '.join(skipped[:3])}"
        )


def preparation(options: DataOptions) -> dict[str, int | str | bool | tuple[int, int]]:
    """Return the part of a cache's key that describes the preparation of the pictures."""
    fields = ("image_size", "channels", "crop", "filter", "skip_corrupt")
    return {field: getattr(options, field) for field in fields}


def _mode_and_filter(options: DataOptions) -> tuple[str, Image.Resampling]:
    """Return Pillow's mode and filter. Raises BadInput for unknown ones."""
    if options.channels not in MODES:
        raise BadInput(f"config.data.channels: got {options.channels}, expected 1 (grey) or 3 (colour)")
    return MODES[options.channels], choose("config.data.filter", options.filter, FILTERS)


def _open(data: bytes, name: str) -> tuple[Image.Image, str]:
    """Return (picture, kind). Raises BadInput for a damaged file, or one that 8-bit grey or RGB cannot hold."""
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
        if picture.width * picture.height > MAX_PIXELS:
            raise Image.DecompressionBombError(f"{picture.width}x{picture.height} is over {MAX_PIXELS} pixels")
        wide = ";16" in str(
            [tile[3] for tile in picture.tile]
        )  # 16 bits; Pillow would drop the lower ones without an error
        picture.load()
        picture = ImageOps.exif_transpose(picture)
        alpha = np.asarray(picture.convert("RGBA").getchannel("A")).min() if picture.has_transparency_data else 255
    except UnidentifiedImageError:
        raise BadInput(f"{name}: not a PNG or JPEG") from None
    except Exception as error:  # Pillow's decoders raise many types of errors
        raise BadInput(f"{name}: corrupt or truncated ({error})") from None
    if wide or picture.mode not in GREY + COLOUR:
        mode = f"{picture.mode} with 16 bits" if wide else picture.mode
        raise BadInput(f"{name}: is of mode {mode}, which 8-bit grey or RGB cannot hold: convert it")
    if alpha < 255:
        raise BadInput(f"{name}: is transparent in places: flatten it onto a background")
    picture.info.pop("transparency", None)  # otherwise Pillow warns that it is lost
    return picture, f"{picture.width}x{picture.height} {'grey' if picture.mode in GREY else 'colour'}"


def _cropped(picture: Image.Image, name: str, options: DataOptions, kind: str) -> Image.Image:
    """Return the centre of the picture, in the shape of the images, with options.crop as its longer side."""
    (width, height), (rows, columns) = picture.size, options.size
    crop = options.crop
    if crop == 0 and width * rows != height * columns:
        shape = "square" if rows == columns else f"of the shape of config.data.image_size, {rows}:{columns}"
        most = min(max(rows, columns) * height // rows, max(rows, columns) * width // columns)
        raise Unfit(f"{name}: is {width}x{height}, not {shape}: set config.data.crop, to {most} or less", kind)
    longer = max(rows, columns)
    wide, high = (round(crop * side / longer) for side in (columns, rows)) if crop else picture.size
    if wide > width or high > height:
        raise Unfit(f"{name}: is {width}x{height}, smaller than config.data.crop={crop}", kind)
    left, top = (width - wide) // 2, (height - high) // 2
    return picture.crop((left, top, left + wide, top + high))


def _in_order(function: Callable[[int], Decoded | BadInput], n: int) -> Iterator[Decoded | BadInput]:
    """Yield function(0), ..., function(n - 1) from threads, a bounded number ahead. Pillow decodes without the GIL."""
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future] = deque()
        for i in range(n):
            waiting.append(pool.submit(function, i))
            if len(waiting) >= 16 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
