"""Cartoon faces: from factors to pixels. The faces are drawn, not photographed.

The parts are those of `python-avatars` (Pablo Stanley's Avataaars, and additions), rasterised by `resvg-py`; both come with
the extra `avatars`. The same factors give the same pixels: no font and no file is read but the package's own drawings, and
nothing is left to the package's own random choices.
"""

import io

import numpy as np
from PIL import Image

from sde_vae.data.datasets.avatar_factors import FACTORS, HAIR, Factors, factors
from sde_vae.errors import BadInput, choose, install_command

# The drawing's page, and the square of it that is shown: head, hair and shoulders, 7 of its units to a pixel at 32.
PAGE = 'width="264px" height="280px" viewBox="0 0 264 280"'
FRAME = 'width="224px" height="224px" viewBox="20 20 224 224"'
# Shapes that touch are blended one by one with what is below, which leaves a dark seam. Drawn finer and averaged, it is fainter.
FINER = 2


def require() -> None:
    """BadInput unless the packages that draw are there."""
    try:
        import python_avatars  # noqa: F401
        import resvg_py  # noqa: F401
    except ImportError as error:
        raise BadInput(f"config.data.name: avatars needs {error.name}; run: {install_command('avatars')}") from error


def render(face: Factors, size: int) -> np.ndarray:
    """uint8 [size, size, 3]. BadInput if the extra is not installed."""
    require()
    import resvg_py

    png = resvg_py.svg_to_bytes(
        svg_string=svg(face),
        width=FINER * size,
        height=FINER * size,
        background=str(_parts(face)["background_color"]),
        skip_system_fonts=True,
    )
    fine = np.asarray(Image.open(io.BytesIO(bytes(png)), formats=("PNG",)).convert("RGB"), np.uint16)
    total = fine.reshape(size, FINER, size, FINER, 3).sum((1, 3), dtype=np.uint16)
    return ((total + FINER**2 // 2) // FINER**2).astype(np.uint8)


def counterfactual(seed: int, name: str, value: str, size: int) -> np.ndarray:
    """The face of `seed` with one factor changed: the true counterfactual. uint8 [size, size, 3]; BadInput on unknown names."""
    index = {v: i for i, v in enumerate(choose("factor", name, FACTORS))}
    return render({**factors(seed), name: choose(name, value, index)}, size)


def svg(face: Factors) -> str:
    """The drawing, cut to the frame, without its background."""
    import python_avatars as pa

    whole = pa.Avatar(style=pa.AvatarStyle.TRANSPARENT, **_parts(face)).render()
    if PAGE not in whole:
        raise RuntimeError(f"python-avatars {pa.__version__} draws on a page that is not {PAGE}")
    return whole.replace(PAGE, FRAME, 1)


def _parts(face: Factors) -> dict:
    """Avatar's arguments: members of the package's enums."""
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
