"""Real picture files for the tests of what reads them."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from sde_vae.data.dataset import DataOptions


def options(path: Path | None, cache: Path, **changes) -> DataOptions:
    """Colour, 8x8, bilinear, no crop."""
    return DataOptions(path, 8, 3, 0, "bilinear", False, cache)._replace(**changes)


def noise(n: int, height: int = 8, width: int = 8, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, channels), np.uint8)


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture that JPEG keeps well: noise of a few pixels, enlarged."""
    small = Image.fromarray(noise(1, 6, 6, seed=seed)[0])
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def encoded(picture: np.ndarray | Image.Image, format: str = "PNG", **how) -> bytes:
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    file = io.BytesIO()
    picture.save(file, format, **how)
    return file.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def pack(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def stacked(images) -> np.ndarray:
    return np.stack([images[i] for i in range(len(images))])
