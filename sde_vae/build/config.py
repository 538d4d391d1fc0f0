"""Load a config, and refuse what its fields do not allow."""

import difflib
import linecache
import re
import runpy
import traceback
from functools import cache
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from sde_vae.build.allowed import NotAllowed
from sde_vae.build.fields import Field, default_config, walk
from sde_vae.errors import BadInput, choose, shortened
from sde_vae.training.workdir import flatten, read_config

PACKAGE = Path(__file__).parent.parent
# In an installed package the example configs lie inside it, in a clone beside it.
EXAMPLES = next((folder for folder in (PACKAGE / "configs", PACKAGE.parent / "configs") if folder.is_dir()), PACKAGE)


def load_config(name: str | Path) -> ConfigDict:
    """Return the config of an example ("scorevae_digits"), of a config file ("mine.py"), or the defaults ("default").

    A config file is Python, and is run: load only those that you trust. The config.json of a run is read as the config of that run.
    Raises BadInput for a file that is missing, does not load, or does not make a config of the known fields with values that they take.

    >>> load_config("scorevae_digits").method
    'score_vae'
    """
    path = find_config(name)
    if path.suffix == ".json":
        return read_recorded(path.parent, "--config")
    try:
        config = runpy.run_path(str(path), run_name=f"config_{path.stem}")["get_config"]()
        values = flatten(config.to_dict())
    except BadInput:
        raise
    # Whatever the file's own code raises.
    except (Exception, SystemExit) as error:
        raise BadInput(f"--config: {path} does not load: {_what_went_wrong(error, path)}") from error
    try:
        return _config_of(values)
    except BadInput as error:
        raise BadInput(f"--config: {path}: {error}") from error


def read_recorded(workdir: Path, field: str) -> ConfigDict:
    """Return the config in WORKDIR/config.json. Raises BadInput, naming `field`, for one that this version cannot read."""
    recorded = read_config(workdir, field)
    try:
        return set_fields(default_config(), recorded)
    except BadInput as error:
        raise BadInput(
            f"{field}: {workdir / 'config.json'} was written by another version of sde_vae: {error}"
        ) from error


def _what_went_wrong(error: BaseException, path: Path) -> str:
    """The error of a config file in one line: the line of the file, what it says, and the message of the error."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(path) else (lines or [None])[-1]
    where = f"line {line}, {linecache.getline(str(path), line).strip()!r}: " if line else ""
    if isinstance(error, KeyError) and error.args == ("get_config",):
        return "it has no function get_config()"
    if missing := re.match(r"[\"']*Key \"(\w+)\" does not exist", str(error)):
        return f"{where}there is no field {missing[1]!r}; {_nearest(missing[1]) or 'docs/config.md lists them all'}"
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return shortened(f"{where}{type(error).__name__}: {text}")


def find_config(name: str | Path) -> Path:
    """Return the file of a config, given by its path or by an example's name. Raises BadInput that lists the examples."""
    path = Path(name).expanduser()
    example = EXAMPLES / f"{path.stem}.py"
    if path.is_file():
        return path
    if (
        path.suffix in ("", ".py")
        and len(path.parts) <= 2
        and path.parent.name in ("", "configs")
        and example.is_file()
    ):
        return example
    examples = sorted(p.stem for p in EXAMPLES.glob("*.py"))
    near = difflib.get_close_matches(path.stem, examples, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise BadInput(f"--config: got {name}, but there is no such file; {hint}examples by name: {', '.join(examples)}")


def set_fields(config: ConfigDict, changes: dict[str, Any]) -> ConfigDict:
    """Return a copy of `config` with the fields {"section.field": value} changed; a value may be the text of a command line.

    Raises BadInput for a field that does not exist (naming the nearest one) or a value that the field does not take.

    >>> changed = set_fields(load_config("default"), {"model.latent_dim": "4", "eval.evaluators": "latents"})
    >>> changed.model.latent_dim, changed.eval.evaluators
    (4, ('latents',))
    """
    for name in changes:
        require_field(name)
    return _config_of(flatten(config.to_dict()) | changes)


def checked(config: ConfigDict) -> ConfigDict:
    """Return a copy of `config`, locked, with each value in the type of its field.

    Raises BadInput, which names the field, the value and what is expected, for the first value that a field does not take, and for
    values that do not go together.
    """
    config = _config_of(flatten(config.to_dict()))
    steps, bound = config.stages.encoder.steps, config.model.log_var_bound
    if config.loss.beta and config.loss.kl_warmup > steps:
        expected = f"at most config.stages.encoder.steps, {steps}: beta would not reach its value"
        raise BadInput(f"config.loss.kl_warmup: got {config.loss.kl_warmup!r}, expected {expected}")
    if not -bound < config.model.likelihood.log_var < bound:
        expected = f"within config.model.log_var_bound, {bound:g}"
        raise BadInput(f"config.model.likelihood.log_var: got {config.model.likelihood.log_var!r}, expected {expected}")
    return config


@cache
def fields() -> dict[str, Field]:
    """Return every field by its name, "section.field"."""
    return dict(walk())


def require_field(name: str, shown: str | None = None) -> None:
    """Raise BadInput, beginning with `shown`, unless config.`name` is a field; the message names the nearest field."""
    if name not in fields():
        hint = _nearest(name) or "docs/config.md lists them all"
        raise BadInput(f"{shortened(shown or f'config.{name}')}: there is no such field; {hint}")


def _nearest(name: str) -> str:
    """Return a question that names the field like `name`, or "" if there is none."""
    known = list(fields())
    last = {field.rpartition(".")[2]: field for field in reversed(known)}
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6) or [
        last[like] for like in difflib.get_close_matches(name.rpartition(".")[2], last, n=1, cutoff=0.8)
    ]
    return f"did you mean config.{near[0]}?" if near else ""


def _config_of(values: dict[str, Any]) -> ConfigDict:
    """Return the config with these values, each in the type of its field."""
    known = fields()
    if odd := sorted(values.keys() ^ known.keys()):
        raise BadInput(f"{'lacks' if odd[0] in known else 'has an unknown field'} config.{odd[0]}")
    values = {name: _read(name, field, values[name]) for name, field in known.items()}
    config = default_config()
    config.update_from_flattened_dict(values)
    return config


def _read(name: str, field: Field, value: Any) -> Any:
    """The value in the field's own type."""
    try:
        return field.allowed.read(value)
    except NotAllowed as error:
        # A wrong name is answered with the nearest.
        for wrong in error.args:
            choose(f"config.{name}", wrong, dict.fromkeys(field.allowed.names))
        raise BadInput(f"config.{name}: got {shortened(repr(value))}, expected {field.allowed.text}") from error
