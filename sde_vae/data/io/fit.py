"""A picture to images of one height and width: the centre crop, then one of three ways to fit the rest.

cover      the centre of the images' shape, as large as the picture has it
contain    the whole picture, padded with the background
none       the whole picture, which has to have the images' shape
"""

from PIL import Image, ImageOps

from sde_vae.errors import BadInput

FITS = ("cover", "contain", "none")


class Unfit(BadInput):
    """The options do not fit a good picture. `kind` is its size."""

    def __init__(self, message: str, kind: str):
        super().__init__(message)
        self.kind = kind


def kind_of(picture: Image.Image) -> str:
    """Return the size of a picture, in words."""
    return f"{picture.width}x{picture.height}"


def cropped(picture: Image.Image, name: str, crop: int, fit: str, size: tuple[int, int]) -> Image.Image:
    """Return the part of a picture that is to be resized to `size` (height, width), or padded to it.

    `crop` is the longer side of the centre crop, which has the images' shape; 0 for none. Raises Unfit, which names the picture, if it is smaller than that; or if its
    shape is another one and `fit` is none.
    """
    width, height = picture.size
    kind = kind_of(picture)
    high, wide = (round(crop * side / max(size)) for side in size)
    if wide > width or high > height:
        raise Unfit(
            f"{name}: is {kind}, smaller than config.data.crop={crop}: leave the picture out, or set config.data.crop=0, with which "
            "config.data.fit=cover takes the largest part of each that has the images' shape",
            kind,
        )
    if crop:
        picture = _centre(picture, wide, high)
    width, height = picture.size
    if width * size[0] == height * size[1] or fit == "contain":
        return picture
    if fit == "none":
        shape = "square" if size[0] == size[1] else f"of the shape {size[1]}x{size[0]} (width x height)"
        raise Unfit(
            f"{name}: is {kind}, not {shape}, and config.data.fit is none: set it to cover (cut at the longer side) or contain (pad)",
            kind,
        )
    # One of the two is the whole side; at least a pixel is left of the other.
    across, down = max(1, round(height * size[1] / size[0])), max(1, round(width * size[0] / size[1]))
    return _centre(picture, min(width, across), min(height, down))


def resized(
    picture: Image.Image, fit: str, size: tuple[int, int], resampling: Image.Resampling, padding: tuple[int, ...]
) -> Image.Image:
    """Return a picture at `size` (height, width); with fit=contain what is missing has the colour `padding`."""
    target = (size[1], size[0])
    if picture.size == target:
        return picture
    if fit == "contain":
        return ImageOps.pad(picture, target, resampling, padding[0] if len(padding) == 1 else padding)
    return picture.resize(target, resampling)


def _centre(picture: Image.Image, width: int, height: int) -> Image.Image:
    if picture.size == (width, height):
        return picture
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))
