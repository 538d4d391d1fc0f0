"""A run's folder: what it was trained with is written down, and not trained over with something else."""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from sde_vae.errors import BadInput
from sde_vae.logs import write_json

# What may change between two commands on one workdir: it does not alter what a finished stage has learnt.
FREE = (
    "parallel",
    "keep_checkpoints",
    "data.dir",
    "data.cache",
    "data.workers",
    "sampling.",
    "eval.",
    *(
        f"stages.{s}.{f}"
        for s in ("prior", "encoder", "correction", "latent")
        for f in ("steps", "checkpoint_every", "log_every")
    ),
)
# What only that stage reads, and may change until it has begun: one can be added to a run that is trained.
OF_STAGE = {
    "encoder": ("stages.encoder.", "draws."),
    "correction": ("stages.correction.", "correction.", "model.correction."),
    "latent": ("stages.latent.", "model.latent_prior."),
}
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def facts() -> dict[str, Any]:
    """The command, the versions and the devices of this process."""
    return {
        "command": " ".join(["python", *sys.argv]),
        "versions": {name: version(name) for name in PACKAGES},
        "devices": [d.device_kind for d in jax.devices()],
    }


def claim(workdir: Path, config: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Write WORKDIR/config.json. Raises BadInput as `check` does."""
    check(workdir, config, defaults)
    write_json(workdir / "config.json", {"config": config, **facts()})


def check(workdir: Path, config: dict[str, Any], defaults: dict[str, Any]) -> None:
    """BadInput if there are checkpoints in `workdir` that were trained with a config other than this one, but for what is FREE, and
    OF_STAGE of those without any.
    """
    path = workdir / "config.json"
    if not path.exists() or not any(workdir.glob("*/checkpoints/[0-9]*")):
        return
    try:
        old = told(json.loads(path.read_text())["config"], defaults)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: expected the config of a run, found something else; take another --workdir") from error
    new, begun = told(config, defaults), lambda stage: any(workdir.glob(f"{stage}/checkpoints/[0-9]*"))
    free = (*FREE, *(field for stage, fields in OF_STAGE.items() if not begun(stage) for field in fields))
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name) and not name.startswith(free):
            raise BadInput(
                f"config.{name}: got {new.get(name)!r}, but {workdir} was trained with {old.get(name)!r}; "
                "take that value or another --workdir"
            )


def check_prior(other: Path, expected: dict[str, Any], field: str) -> None:
    """BadInput, naming `field`, if the run in `other` was trained with other values of these fields: its arrays would fit, and
    mean something else.
    """
    path = other / "config.json"
    if not path.exists():
        return
    try:
        theirs = flatten(json.loads(path.read_text())["config"])
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{field}: {path} is not the config of a run; expected the workdir of one") from error
    for name, value in expected.items():
        if theirs.get(name) != value:
            raise BadInput(
                f"{field}: {other} was trained with config.{name} {theirs.get(name)!r}, expected {value!r}; take a prior that "
                "was trained alike"
            )


def told(config: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Every field, as JSON has it. One that an older config lacks had its default: a new field's default is what was done before it."""
    through_json = lambda config: json.loads(json.dumps(config))
    return flatten(through_json(defaults)) | flatten(through_json(config))


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dict -> {"section.field": value}."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
