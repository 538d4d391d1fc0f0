"""Render cartoon faces from factors. The faces are drawn, not photographed.

The parts are those of `python-avatars` (Pablo Stanley's Avataaars, and additions), rasterised by `resvg-py`. Both are in the
extra `avatars`. The same factors give the same pixels: only the package's own drawings are read, no fonts are used, and the
package makes no random choices.
"""

import io

import numpy as np
from PIL import Image

from sde_vae.data.datasets.avatar_factors import FACTORS, HAIR, Factors
from sde_vae.errors import BadInput, install_command

# The page of the drawing, and the square of it that is rendered: head, hair and shoulders, 7 units to a pixel at 32 pixels.
PAGE = 'width="264px" height="280px" viewBox="0 0 264 280"'
FRAME = 'width="224px" height="224px" viewBox="20 20 224 224"'
# Adjacent shapes are blended one after the other with the background, which leaves a dark seam. Rendered at this multiple of the
# size and averaged, the seam is fainter.
SUPERSAMPLING = 2


def require() -> None:
    """Raise BadInput unless the packages of the extra `avatars` are installed."""
    try:
        import python_avatars  # noqa: F401
        import resvg_py  # noqa: F401
    except ImportError as error:
        raise BadInput(f"config.data.name: avatars needs {error.name}; run: {install_command('avatars')}") from error


def render(face: Factors, size: int) -> np.ndarray:
    """Return the face as uint8 [size, size, 3]. Raises BadInput if the extra `avatars` is not installed."""
    require()
    import resvg_py

    png = resvg_py.svg_to_bytes(
        svg_string=svg(face),
        width=SUPERSAMPLING * size,
        height=SUPERSAMPLING * size,
        background=str(_parts(face)["background_color"]),
        skip_system_fonts=True,
    )
    fine = np.asarray(Image.open(io.BytesIO(bytes(png)), formats=("PNG",)).convert("RGB"), np.uint16)
    total = fine.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3).sum((1, 3), dtype=np.uint16)
    return ((total + SUPERSAMPLING**2 // 2) // SUPERSAMPLING**2).astype(np.uint8)


def svg(face: Factors) -> str:
    """Return the drawing as SVG, cut to the frame, without its background."""
    import python_avatars as pa

    whole = pa.Avatar(style=pa.AvatarStyle.TRANSPARENT, **_parts(face)).render()
    if PAGE not in whole:
        raise RuntimeError(f"python-avatars {pa.__version__} draws on a page that is not {PAGE}")
    return whole.replace(PAGE, FRAME, 1)


def _parts(face: Factors) -> dict:
    """Return the arguments of `python_avatars.Avatar`, members of the package's enums."""
    import python_avatars as pa

    enums = {
        "background_color": pa.BackgroundColor,
        "skin_color": pa.SkinColor,
        "top": pa.HairType if face["top"] < len(HAIR) else pa.HatType,
        "hair_color": pa.HairColor,
        "hat_color": pa.ClothingColor,
        "eyebrows": pa.EyebrowType,
        "eyes": pa.EyeType,
        "nose": pa.NoseType,
        "mouth": pa.MouthType,
        "facial_hair": pa.FacialHairType,
        "facial_hair_color": pa.HairColor,
        "accessory": pa.AccessoryType,
        "clothing": pa.ClothingType,
        "clothing_color": pa.ClothingColor,
    }
    return {name: enum[FACTORS[name][face[name]].upper()] for name, enum in enums.items()}
