"""Decode picture files to uint8 images of one size, strictly, in order, with a few threads.

EXIF orientation is applied, as in a viewer. Then come the centre crop, the conversion to the channels of the images, and the
antialiased resize. What loses anything is done only where an option allows it, and all of it is counted. A picture that has the
right size and channels is not changed.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image

from sde_vae.data.cache.record_cache import Picture, Skipped
from sde_vae.data.dataset import DataOptions
from sde_vae.data.io.fit import FITS, Unfit, cropped, kind_of, resized
from sde_vae.data.io.formats import shown
from sde_vae.data.io.open_picture import Opened, has_colour, load, open_header, simple
from sde_vae.data.io.turns import Turns
from sde_vae.errors import BadInput, choose

AHEAD_BYTES = 2**28  # of images that wait for their turn
FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
CHANNELS = "config.data.channels"


class Decoded(NamedTuple):
    """A uint8 image [H, W, C]; the size of the file's picture, which may have to be equal for all; and what was changed."""

    image: np.ndarray
    kind: str
    changes: tuple[str, ...] = ()


def decode(data: bytes, name: str, options: DataOptions, turns: Turns | None = None) -> Decoded:
    """Decode one file and prepare it by `options`, in its turn where others are decoded at the same time.

    Raises BadInput, which names the file, for anything but an undamaged picture, and Unfit if the options do not fit it.
    """
    header = open_header(data, name)
    return in_turn(lambda: prepared(load(header, name), name, options), turns, header)


def in_turn(work: Callable[[], Decoded], turns: Turns | None, *headers: Image.Image) -> Decoded:
    """Return work(), which decodes the pictures of these headers; when it is their turn, where `turns` is given."""
    return work() if turns is None else turns.take(work, sum(header.width * header.height for header in headers))


def prepared(opened: Opened, name: str, options: DataOptions, field: str = CHANNELS) -> Decoded:
    """Prepare a picture by `options`. `field` is the one that sets its channels, for messages."""
    mode, resampling = _mode_and_filter(options, field)
    size = options.size
    kind = kind_of(opened.picture)
    part = cropped(opened.picture, name, options.crop, options.fit, size)
    # A crop has the images' shape already.
    cut = options.fit == "cover" and not options.crop and part.size != opened.picture.size
    part, changes = simple(opened._replace(picture=part), name)
    part, more = _in_mode(part, name, mode, options, kind, field)
    padded = options.fit == "contain" and part.width * size[0] != part.height * size[1]
    enlarged = part.width < size[1] and part.height < size[0]
    flags = {"cover": cut, "contain": padded, "enlarged": enlarged}
    part = resized(part, options.fit, size, resampling, _colour(options, len(mode)))
    changes += (*more, *(change for change, holds in flags.items() if holds))
    return Decoded(np.asarray(part).reshape(*size, options.channels), kind, changes)


def _in_mode(
    picture: Image.Image, name: str, mode: str, options: DataOptions, kind: str, field: str
) -> tuple[Image.Image, tuple[str, ...]]:
    """Return (a picture in `mode`, what was changed). Raises BadInput where that would lose something unasked."""
    changes: tuple[str, ...] = ()
    if mode == "L" and picture.mode.startswith("RGB"):
        if not has_colour(picture):
            changes += ("colourless",)
        elif options.to_grey:
            changes += ("to_grey",)
        else:
            raise Unfit(
                f"{name}: is in colour, and {field} is 1: set it to 3, or config.data.to_grey=True to convert",
                kind,
            )
        picture = picture.convert("LA" if picture.mode == "RGBA" else "L")
    if mode != "L" and picture.mode in ("L", "LA"):
        changes += ("grey",)
        picture = picture.convert("RGBA" if picture.mode == "LA" else "RGB")
    if mode == "RGBA" and picture.mode == "RGB":
        changes += ("opaque",)
    if mode != "RGBA" and picture.mode in ("LA", "RGBA"):
        if options.background is None:
            raise BadInput(
                f"{name}: is transparent in places: set config.data.background, such as 255 for white, or {field}=4"
            )
        behind = _colour(options, len(mode))
        canvas = Image.new(mode, picture.size, behind[0] if len(behind) == 1 else behind)
        canvas.paste(picture, mask=picture.getchannel("A"))
        picture, changes = canvas, (*changes, "flattened")
    return (picture if picture.mode == mode else picture.convert(mode)), changes


def _colour(options: DataOptions, channels: int) -> tuple[int, ...]:
    """The background in so many channels: black if none is set, and opaque."""
    given = options.background or (0,)
    colour = given * min(channels, 3) if len(given) == 1 else given
    return (*colour, 255) if channels == 4 and len(colour) == 3 else colour


def pictures(
    names: Sequence[str],
    read: Callable[[int], bytes],
    options: DataOptions,
    attributes: np.ndarray | None = None,
    alike: bool = True,
) -> Iterator[Picture | Skipped]:
    """Decode read(0), read(1), ... in order, with attributes[i] for image i.

    With `alike`, a file whose picture has another size than the first good one is an error. Raises BadInput for a bad
    file. With options.skip_corrupt a Skipped is yielded instead, unless the options do not fit, or more than half of the files
    are bad.
    """
    _mode_and_filter(options)  # wrong options are an error, whatever skip_corrupt is
    names = [shown(name) for name in names]
    return in_order(names, lambda i, turns: decode(read(i), names[i], options, turns), options, attributes, alike)


def in_order(
    names: Sequence[str],
    decode_one: Callable[[int, Turns], Decoded],
    options: DataOptions,
    attributes: np.ndarray | None,
    alike: bool,
) -> Iterator[Picture | Skipped]:
    """Yield decode_one(0, turns), decode_one(1, turns), ... as `pictures` does; decode_one raises BadInput for a bad file."""
    first: tuple[str, str] | None = None
    skipped = []

    def decode_file(i: int) -> Decoded | BadInput:
        try:
            return decode_one(i, turns)
        except BadInput as error:
            return error

    height, width = options.size
    found = _in_order(decode_file, len(names), height * width * (options.channels + options.y_channels))
    with Turns() as turns, contextlib.closing(found):
        for i, item in enumerate(found):
            # Checked first: options that fit the other files need not fit a file of another kind.
            if alike and first and isinstance(item, Decoded | Unfit) and item.kind != first[1]:
                item = BadInput(
                    f"{names[i]}: is {item.kind}, while {first[0]} is {first[1]}: all must be alike with config.data.fit=none; cover cuts "
                    "them to one shape, contain pads them"
                )
            if isinstance(item, Decoded):
                first = first or (names[i], item.kind)
                yield Picture(item.image, None if attributes is None else attributes[i], item.changes)
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


def preparation(options: DataOptions) -> dict[str, int | str | bool | tuple[int, ...] | None]:
    """Return the part of a cache's key that describes the preparation of the pictures."""
    fields = ("image_size", "channels", "crop", "filter", "skip_corrupt", "fit", "background", "to_grey")
    return {field: getattr(options, field) for field in fields}


def _mode_and_filter(options: DataOptions, field: str = CHANNELS) -> tuple[str, Image.Resampling]:
    """Return Pillow's mode and filter. Raises BadInput for options that are wrong for any picture."""
    if options.channels not in MODES:
        raise BadInput(f"{field}: got {options.channels}, expected 1 (grey), 3 (colour) or 4 (and alpha)")
    choose("config.data.fit", options.fit, dict.fromkeys(FITS))
    if options.background and len(options.background) not in (1, min(options.channels, 3)):
        raise BadInput(
            f"config.data.background: got {options.background}, expected one number, or one for each of "
            f"{min(options.channels, 3)} channels"
        )
    return MODES[options.channels], choose("config.data.filter", options.filter, FILTERS)


def _in_order(function: Callable[[int], Decoded | BadInput], n: int, size: int) -> Generator[Decoded | BadInput]:
    """Yield function(0), ..., function(n - 1) from threads, a bounded number ahead. Pillow decodes without the GIL.

    Images have `size` bytes.
    """
    workers = min(8, os.cpu_count() or 1)
    ahead = max(workers, min(16 * workers, AHEAD_BYTES // size))
    pool = ThreadPoolExecutor(workers)
    try:
        waiting: deque[Future] = deque()
        for i in range(n):
            waiting.append(pool.submit(function, i))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # after an error what waits is not decoded
        pool.shutdown(cancel_futures=True)
