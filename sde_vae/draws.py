"""Images that a prior has drawn, for others to train on: drawn once, and kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sde_vae.data.dataset import to_levels
from sde_vae.errors import BadInput
from sde_vae.evaluators.subject import Sampler
from sde_vae.logs import write_array, write_json
from sde_vae.parts import Parts


def drawn_images(
    directory: Path,
    n: int,
    levels: int,
    whose: dict[str, Any],
    how: dict[str, Any],
    sampler: Callable[[Parts], Sampler],
) -> np.ndarray:
    """uint8 [n, H, W, C], from `directory`, or drawn now: a drawing that was stopped goes on where it was.

    whose: the prior and the seed. how: whatever else decides of the pieces; of images that are there it is not asked, as what has trained
    on them goes on with the same. Raises BadInput if those that are there are another's: they are not thrown away.
    """
    key = json.loads(json.dumps({"n": n, "levels": levels, **whose}))
    if (directory / "images.npy").exists():
        return _kept(directory, key)
    parts = Parts(directory / "parts", key | how)
    drawn = sampler(parts)(np.arange(n, dtype=np.int32), "draw images from the prior, to train on")
    images = to_levels(drawn, levels)
    write_json(directory / "key.json", key)
    write_array(directory / "images.npy", images)
    parts.discard()
    return images


def _kept(directory: Path, key: dict[str, Any]) -> np.ndarray:
    try:
        before = json.loads((directory / "key.json").read_text())
        images = np.load(directory / "images.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{directory}: can't be read ({error}); remove it, and its images are drawn again") from error
    for name, now in key.items():
        if before.get(name) != now:
            raise BadInput(
                f"{directory}: expected images of this prior, number and seed, found others ({name} differs); take another --workdir, or "
                "remove this folder and what was trained on it"
            )
    return images
