"""The user's own observations: pictures that are to be restored, and masks of their holes.

A mask is white where the picture is to be filled in, as in most editors, and as large as its picture. Both are prepared alike.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from sde_vae.data.dataset import DataOptions
from sde_vae.data.datasets.folder import picture_names, read_pictures
from sde_vae.data.io.archive import open_files
from sde_vae.data.io.decode import FILTERS
from sde_vae.data.io.fit import cropped, kind_of, resized
from sde_vae.data.io.formats import is_picture, shown
from sde_vae.data.io.open_picture import Opened, load, open_header, simple
from sde_vae.errors import BadInput

# From this grey level on, of 255, a mask is white.
WHITE = 128
# A pixel is seen if no more of it than this lies in the hole: rounding of the resize.
CLEAN = 1e-3


def read_observations(path: Path, options: DataOptions, exact: str = "") -> tuple[list[str], np.ndarray]:
    """Return (names, uint8 observations [n, H, W, k]) of all pictures below a folder or in a zip, prepared as in `options`.

    With `exact`, which says what makes pictures of this size, one of another size raises BadInput; otherwise it is cut and resized.
    """
    names, images = read_pictures(path, options)
    height, width = options.size
    for where, kind in _kinds(path, names, options) if exact else ():
        if kind != f"{width}x{height}":
            raise BadInput(f"--input: {where}: is {kind}, expected {width}x{height} pixels: {exact}")
    return names, images


def read_masks(path: Path, of: Path, names: list[str], options: DataOptions) -> np.ndarray:
    """Return the masks of the pictures `names` of a folder or zip `of`: float32 [n, H, W, 1], 1 where a picture is seen.

    `path` is one mask for all of them, or a folder or zip with a mask of each picture's name, whatever its ending. A pixel of which any
    part lies in the hole is hidden. Raises BadInput, which names the file, for a mask that is missing, left over, of another size than its
    picture, or without a hole.
    """
    found = []
    with ExitStack() as stack:
        one = path.is_file() and is_picture(path.name)
        masks = [(shown(path), _bytes(path))] * len(names) if one else _of_each(path, of, names, options, stack)
        for (mask, data), (picture, kind) in zip(masks, _kinds(of, names, options), strict=True):
            opened = load(open_header(data, mask), mask)
            if (got := kind_of(opened.picture)) != kind:
                raise BadInput(f"--mask: {mask}: is {got}, but {picture} is {kind}: a mask has the size of its picture")
            found.append(_seen(opened, mask, options))
    return np.stack(found)


def _of_each(
    path: Path, of: Path, names: list[str], options: DataOptions, stack: ExitStack
) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each picture's mask."""
    files = stack.enter_context(open_files(path, options.follow_links))
    pictures = stack.enter_context(open_files(of, options.follow_links))
    masks: dict[str, str] = {}
    for name in picture_names(files, "--mask"):
        if (other := masks.setdefault(_stem(name), name)) != name:
            raise BadInput(
                f"--mask: {shown(path)} has {shown(other)} and {shown(name)}, two masks of one picture; remove one"
            )
    for stem in sorted(masks.keys() - {_stem(name) for name in picture_names(pictures, "--input")}):
        raise BadInput(
            f"--mask: {shown(f'{path}/{masks[stem]}')}: {shown(of)} has no picture of this name; remove the mask"
        )
    for name in names:
        if _stem(name) not in masks:
            raise BadInput(
                f"--mask: {shown(f'{of}/{name}')}: {shown(path)} has no mask of this name; add one, white where the picture is to be filled in"
            )
    return ((shown(f"{path}/{mask}"), files.read(mask)) for mask in (masks[_stem(name)] for name in names))


def _kinds(path: Path, names: list[str], options: DataOptions) -> Iterator[tuple[str, str]]:
    """The name of each file, as it is shown, and the size of its picture, upright."""
    with open_files(path, options.follow_links) as files:
        for name in names:
            where = shown(f"{path}/{name}")
            yield where, kind_of(load(open_header(files.read(name), where), where).picture)


def _seen(opened: Opened, name: str, options: DataOptions) -> np.ndarray:
    """1 where no part of a pixel is white: float32 [H, W, 1]."""
    mask = simple(opened, name).picture
    if mask.mode in ("LA", "RGBA"):
        # Where a mask is transparent it is not painted.
        mask = Image.composite(mask.convert("RGB"), Image.new("RGB", mask.size), mask.getchannel("A"))
    white = np.asarray(mask.convert("L")) >= WHITE
    if not white.any():
        raise BadInput(f"--mask: {name}: has no white pixel; expected white where the picture is to be filled in")
    hole = cropped(Image.fromarray(white.astype(np.float32)), name, options.crop, options.fit, options.size)
    hole = resized(hole, options.fit, options.size, FILTERS[options.filter], (0,))
    return (np.abs(np.asarray(hole)) <= CLEAN).astype(np.float32)[..., None]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"--mask: {shown(path)}: cannot be read ({error.strerror})") from None


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
