"""What is kept of a finished row, in the repository beside its table: rows, seeds and latent sizes are added to it on another machine,
and no row is trained twice.

    results/rows/NAME/seed_SEED/latent_LATENT/ROW/{made.json, metrics.json, reconstructions.npz}
"""

import json
import shutil
from pathlib import Path
from typing import Any

from record import machine

from sde_vae import logs, workdir
from sde_vae.errors import BadInput

PICTURES = "reconstructions.npz"
# "section.field" -> value, of the fields that make a row what it is
Fields = dict[str, Any]


def keep(place: Path, fields: Fields, metrics: dict[str, Any], pictures: Path) -> None:
    """The metrics last: what was stopped here is not found."""
    (place / "metrics.json").unlink(missing_ok=True)
    made = {"config": fields, "machine": machine(), "versions": workdir.facts()["versions"]}
    logs.write_json(place / "made.json", made)
    shutil.copyfile(pictures, place / PICTURES)
    logs.write_json(place / "metrics.json", metrics)


def kept(place: Path, fields: Fields) -> dict[str, Any] | None:
    """The metrics of a row, or None if there are none. Raises BadInput if it was made with other fields."""
    if not (place / "metrics.json").exists():
        return None
    theirs = json.loads((place / "made.json").read_text())["config"]
    ours = json.loads(json.dumps(fields))
    if other := [name for name in sorted(theirs.keys() | ours.keys()) if theirs.get(name) != ours.get(name)]:
        raise BadInput(
            f"{place}: was made with config.{other[0]} {theirs.get(other[0])!r}, expected {ours.get(other[0])!r}; take another "
            "--name, or remove it"
        )
    return json.loads((place / "metrics.json").read_text())
