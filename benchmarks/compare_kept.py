"""What is kept of a finished row, in the repository beside its table: rows, seeds and latent sizes are added to it on another machine,
and what is there is not trained again.

    results/rows/NAME/seed_SEED/latent_LATENT/ROW/{made.json, metrics.json, pictures.npz}
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from record import machine

import main as commands
from sde_vae import logs, workdir
from sde_vae.errors import BadInput

# So many images are drawn, of these.
SHOWN = 8
PICTURES = {"original": "original", "mean image": "baseline/mean_image", "PCA": "baseline/pca"}
PICTURES |= {"reconstruction": "reconstruction"}
# "section.field" -> value, of the fields that make a row what it is
Fields = dict[str, Any]


class Kept(NamedTuple):
    """made: by which config, machine and versions, and on which prior."""

    metrics: dict[str, Any]
    made: dict[str, Any]


def keep(directory: Path, fields: Fields, prior: str, metrics: dict[str, Any], pictures: Path) -> None:
    """The metrics last: what was stopped here is not found. `pictures` is an evaluation's reconstructions.npz."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "metrics.json").unlink(missing_ok=True)
    made = {"config": fields, "prior": prior, "machine": machine(), "versions": workdir.facts()["versions"]}
    logs.write_json(directory / "made.json", made)
    with np.load(pictures, allow_pickle=False) as images:
        few = {name: np.round(255 * images[of][:SHOWN]).astype(np.uint8) for name, of in PICTURES.items()}
    np.savez_compressed(directory / "pictures.npz", **few)
    logs.write_json(directory / "metrics.json", metrics)


def read_kept(directory: Path, fields: Fields) -> Kept | None:
    """None if there is nothing. Raises BadInput if it was made with other fields; one that it lacks had its default."""
    if not (directory / "metrics.json").exists():
        return None
    made = json.loads((directory / "made.json").read_text())
    theirs, ours = workdir.told(made["config"], commands.DEFAULTS), json.loads(json.dumps(fields))
    if other := [name for name, value in ours.items() if theirs.get(name) != value]:
        raise BadInput(
            f"{directory}: was made with config.{other[0]} {theirs.get(other[0])!r}, expected {ours[other[0]]!r}; take another "
            "--name, or remove it"
        )
    return Kept(json.loads((directory / "metrics.json").read_text()), made)


def read_pictures(directory: Path) -> dict[str, np.ndarray]:
    """[SHOWN, H, W, C] on [0, 1], by those names of PICTURES that were kept."""
    with np.load(directory / "pictures.npz", allow_pickle=False) as images:
        return {name: images[name] / 255 for name in PICTURES if name in images}
