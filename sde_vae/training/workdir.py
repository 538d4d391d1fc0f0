"""The folder of a run, the workdir. Its config.json holds the config, and a run of another config is refused there."""

import json
import shlex
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sde_vae.errors import BadInput
from sde_vae.files import json_crc32, write_json
from sde_vae.training.description import newest_record
from sde_vae.training.renamed_fields import renamed

STAGES = ("prior", "encoder", "correction", "latent")
# The file of a released stage's EMA parameters, in the place of its checkpoints.
EMA_FILE = "ema.safetensors"
# Fields that may change between two commands on one workdir: they do not change what a finished stage has learnt.
OF_LOOP = ("steps", "accumulation", "checkpoint_every", "log_every", "preview_every")
FREE = (
    "parallel",
    # The device has it by default, and is not asked after either.
    "model.precision",
    "keep_checkpoints",
    "retrain",
    "data.dir",
    "data.cache",
    "data.workers",
    # What it changes in the data is found by their fingerprint.
    "data.skip_corrupt",
    "data.fit",
    "data.background",
    "data.to_grey",
    "data.follow_links",
    "sampling.",
    "eval.",
    *(f"stages.{stage}.{field}" for stage in STAGES for field in OF_LOOP),
)
# Fields of one stage only, which may change until it has begun: a stage can be added to a trained run.
OF_STAGE = {
    "encoder": ("stages.encoder.", "synthetic."),
    "correction": ("stages.correction.", "model.correction."),
    "latent": ("stages.latent.", "model.latent_prior."),
}
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
Flat = dict[str, Any]  # "section.field" -> value


def facts() -> dict[str, Any]:
    """Return the date, the command, the code's commit if it is a clone, the versions and the devices of this process."""
    # Imported late: the command line reads configs without it.
    import jax

    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "command": command(),
        "versions": {name: version(name) for name in PACKAGES},
        "devices": [d.device_kind for d in jax.devices()],
    }


def command() -> str:
    """Return the command line of this process, as one would type it; of a notebook or another program, that it was Python.

    The program's name is cut to its last part.
    """
    program = Path(sys.argv[0]).name
    if program == "main.py":
        return shlex.join(["python", program, *sys.argv[1:]])
    return shlex.join([program, *sys.argv[1:]]) if program == "sde-vae" else "from Python"


def commit() -> str | None:
    """Return the commit of the clone that this package lies in, or None."""
    root = Path(__file__).parent.parent.parent
    if not (root / ".git").exists():
        return None
    try:
        asked = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def claim(workdir: Path, config: Flat, data: dict[str, Any], trains: bool = True) -> None:
    """Write WORKDIR/config.json, with the facts of the `data` and of this process; those of an earlier one stay if nothing `trains`.

    Call `check` before. Raises BadInput for a released run.
    """
    if any(workdir.glob(f"*/{EMA_FILE}")):
        raise BadInput(
            f"--workdir: {workdir} holds a released run, which cannot be trained further: it has no optimiser's state; take another "
            f"--workdir (its prior may be used there: --config.prior.checkpoint={workdir})"
        )
    made = facts()
    if not trains and (workdir / "config.json").exists():
        made = {name: value for name, value in read_facts(workdir).items() if name in made}
    write_json(workdir / "config.json", described(nested(config), data, made))


def described(config: dict[str, Any], data: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """Return what config.json holds: the nested config and what was trained on, with a checksum of both, and how the run was made."""
    return {"config": config, "data": data, "crc32": json_crc32([config, data]), **made}


def check(workdir: Path, config: Flat, defaults: Flat) -> None:
    """Raise BadInput, naming the field, if the checkpoints in `workdir` were trained with another config.

    `config` may have a part of the fields of `defaults`: those of its method. They are compared with config.json, and with what the newest
    checkpoint of each stage keeps of them. FREE fields may differ, and those that only a stage without checkpoints reads (OF_STAGE).
    """
    begun = [stage for stage in STAGES if has_checkpoints(workdir, stage)]
    if begun and (workdir / "config.json").exists():
        of_others = tuple(field for stage, fields in OF_STAGE.items() if stage not in begun for field in fields)
        _compare(read_config(workdir), config, defaults, of_others, f"{workdir}")
    for stage in begun:
        _, record = newest_record(workdir / stage / "checkpoints") or (0, None)
        check_record(record, config, defaults, stage, workdir)


def check_record(record: dict[str, Any] | None, config: Flat, defaults: Flat, stage: str, workdir: Path) -> None:
    """Raise BadInput, naming the field, if a checkpoint of `stage` with this record was trained with another config."""
    kept = (record or {}).get("config")
    if isinstance(kept, dict):
        _compare(renamed(kept), config, defaults, _of_other_stages(stage), f"the stage {stage} in {workdir}")


def to_keep(config: Flat, stage: str) -> Flat:
    """Return the fields that a checkpoint of `stage` keeps: those that decide what it learns."""
    without = (*FREE, *_of_other_stages(stage))
    return {name: value for name, value in as_json(config).items() if not name.startswith(without)}


def _of_other_stages(stage: str) -> tuple[str, ...]:
    return tuple(field for other, fields in OF_STAGE.items() if other != stage for field in fields)


def _compare(old: Flat, new: Flat, defaults: Flat, free: tuple[str, ...], what: str) -> None:
    """Raise BadInput for the first field whose value differs and may not."""
    # A field that an older config lacks had its default: that of a new field keeps the old behaviour, or `renamed` gives its value.
    old, new = as_json(defaults) | old, as_json(new)
    for name in sorted(new.keys() | (old.keys() - defaults.keys())):
        if old.get(name) != new.get(name) and not name.startswith((*FREE, *free)):
            raise BadInput(
                f"config.{name}: got {new.get(name)!r}, but {what} was trained with {old.get(name)!r}; "
                "set that value, or take another --workdir (to use a trained run as it is, give --workdir without --config)"
            )


def check_prior(other: Path, expected: Flat, field: str) -> None:
    """Raise BadInput, naming `field`, if the run in `other` was trained with other values of these fields.

    The arrays of such a run would have the right shapes and the wrong meaning.
    """
    if not (other / "config.json").exists():
        return
    check_alike(read_config(other, field), expected, other, field)


def check_alike(theirs: Flat, expected: Flat, other: Path, field: str) -> None:
    """Raise BadInput, naming `field`, if the config `theirs` of the run in `other` has another value of one of these fields."""
    for name, value in expected.items():
        if theirs.get(name) != value:
            raise BadInput(
                f"{field}: {other} was trained with config.{name} {theirs.get(name)!r}, expected {value!r}; give a prior that "
                "was trained alike"
            )


def read_facts(workdir: Path, field: str = "--workdir") -> dict[str, Any]:
    """Return what WORKDIR/config.json holds, with a warning if its checksum is wrong; one of an earlier version has none.

    Raises BadInput, naming `field`, if that is not the config of a run.
    """
    path = workdir / "config.json"
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{field}: {path} is not the config of a run; expected a trained workdir") from error
    if not isinstance(found, dict) or not isinstance(found.get("config"), dict):
        raise BadInput(f"{field}: {path} is not the config of a run; expected a trained workdir")
    if "crc32" in found and found["crc32"] != json_crc32([found["config"], found.get("data")]):
        # Of one place: said once, however often the file is read.
        warnings.warn(f"{path}: damaged, or changed by hand: its checksum is wrong; taken as it is", stacklevel=1)
    return found


def read_config(workdir: Path, field: str = "--workdir") -> Flat:
    """Return the config of the run in `workdir`; one of an earlier version has its fields renamed."""
    return renamed(flatten(read_facts(workdir, field)["config"]))


def is_trained(workdir: Path, stage: str, steps: int) -> bool:
    """Return whether the stage has a checkpoint of its last step, or of a later one."""
    return any(int(path.name) >= steps for path in workdir.glob(f"{stage}/checkpoints/[0-9]*") if path.name.isdigit())


def has_checkpoints(workdir: Path, stage: str = "*") -> bool:
    """Return whether the stage, or any, has a checkpoint in `workdir`, or a file of EMA parameters."""
    return any(any(workdir.glob(f"{stage}/{name}")) for name in ("checkpoints/[0-9]*", EMA_FILE))


def as_json(config: Flat) -> Flat:
    """Return the fields as JSON gives them back: tuples are lists."""
    return json.loads(json.dumps(config))


def flatten(config: dict[str, Any], prefix: str = "") -> Flat:
    """Return {"section.field": value} of a nested dict."""
    flat: Flat = {}
    for name, value in config.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def nested(flat: Flat) -> dict[str, Any]:
    """Return the nested dict of {"section.field": value}: `flatten` undone."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, last = name.split(".")
        section = tree
        for part in sections:
            section = section.setdefault(part, {})
        section[last] = value
    return tree
