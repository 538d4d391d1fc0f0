"""Load a config, and refuse what its fields do not allow."""

import ast
import difflib
import runpy
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from sde_vae.build.fields import Field, walk
from sde_vae.build.image_size import FIELD as IMAGE_SIZE
from sde_vae.build.image_size import set_image_size
from sde_vae.errors import BadInput, choose
from sde_vae.training.workdir import flatten

PACKAGE = Path(__file__).parent.parent
# In an installed package the example configs lie inside it, in a clone beside it.
EXAMPLES = next((folder for folder in (PACKAGE / "configs", PACKAGE.parent / "configs") if folder.is_dir()), PACKAGE)


def load_config(name: str | Path) -> ConfigDict:
    """Return the config of an example ("scorevae_digits"), of a config file ("mine.py"), or the defaults ("default").

    Raises BadInput for a file that is missing, does not load, or does not make a config of the known fields.

    >>> load_config("scorevae_digits").method
    'score_vae'
    """
    path = find_config(name)
    try:
        config = runpy.run_path(str(path), run_name=f"config_{path.stem}")["get_config"]()
        found = set(flatten(config.to_dict()))
    except BadInput:
        raise
    # Whatever the file's own code raises.
    except Exception as error:
        raise BadInput(
            f"--config: {path} does not load: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    known = set(fields())
    if odd := sorted(found ^ known):
        raise BadInput(f"--config: {path} {'lacks' if odd[0] in known else 'has an unknown field'} config.{odd[0]}")
    return config


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

    Raises BadInput for a field that does not exist (naming the nearest one) or a value of another type.

    >>> changed = set_fields(load_config("default"), {"model.latent_dim": "4", "eval.evaluators": "latents"})
    >>> changed.model.latent_dim, changed.eval.evaluators
    (4, ('latents',))
    """
    changed = config.copy_and_resolve_references()
    for name, value in changes.items():
        require_field(name)
        if name == IMAGE_SIZE:
            set_image_size(changed, value)
        else:
            changed.update_from_flattened_dict({name: _typed(name, value, fields()[name].default)})
    return changed


def fields() -> dict[str, Field]:
    """Return every field by its name, "section.field"."""
    return dict(walk())


def _typed(name: str, value: Any, default: Any) -> Any:
    """`value` in the type of the field's default. A default of None is an unset float."""
    kind = float if default is None else type(default)
    try:
        if isinstance(value, str) and kind is not str:
            value = ast.literal_eval(value.strip().capitalize() if kind is bool else value)
    except (ValueError, SyntaxError, TypeError):
        pass
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is tuple and isinstance(value, list | str | int):
        value = tuple(value) if isinstance(value, list) else (value,)
    if (isinstance(value, kind) and not (kind is int and isinstance(value, bool))) or (
        value is None and default is None
    ):
        return value
    expected = {int: "a whole number", float: "a number", bool: "True or False", tuple: "a tuple", str: "text"}[kind]
    raise BadInput(f"config.{name}: got {value!r}, expected {expected}")


def require_field(name: str, shown: str | None = None) -> None:
    """Raise BadInput, beginning with `shown`, unless config.`name` is a field; the message names the nearest field."""
    known = list(fields())
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6) or [
            field for field in known if field.split(".")[-1] == name.split(".")[-1]
        ]
        hint = f"did you mean config.{near[0]}?" if near else "docs/config.md lists them all"
        raise BadInput(f"{shown or f'config.{name}'}: there is no such field; {hint}")


def check(config: ConfigDict) -> None:
    """Raise BadInput that names the field, its value and what is allowed, for the first value out of its range."""
    values = flatten(config.to_dict())
    for name, field in fields().items():
        _check_field(name, field, values[name])
    steps, bound = config.stages.encoder.steps, config.model.log_var_bound
    if config.loss.kl_warmup > steps:
        expected = f"at most config.stages.encoder.steps, {steps}: beta would not reach its value"
        raise BadInput(f"config.loss.kl_warmup: got {config.loss.kl_warmup!r}, expected {expected}")
    if not -bound < config.model.likelihood.log_var < bound:
        expected = f"within config.model.log_var_bound, {bound:g}"
        raise BadInput(f"config.model.likelihood.log_var: got {config.model.likelihood.log_var!r}, expected {expected}")


def _check_field(name: str, field: Field, value: Any) -> None:
    allowed = field.allowed
    if allowed.names:
        for each in (value,) if isinstance(value, str) else value:
            choose(f"config.{name}", each, dict.fromkeys(allowed.names))
    elif not allowed.holds(value):
        raise BadInput(f"config.{name}: got {value!r}, expected {allowed.text}")
