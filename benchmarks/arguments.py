"""The command line of a benchmark: its help, and config fields as --config.section.field=value."""

import argparse
import json
from typing import Any

from sde_vae.errors import BadInput


def parser_of(module: str, text: str | None) -> argparse.ArgumentParser:
    """The parser of `python -m MODULE`, whose --help shows a text as it stands."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def as_text(value: Any) -> str:
    """What `overrides` reads as this value."""
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except json.JSONDecodeError:
        return value
    return json.dumps(value)


def overrides(arguments: list[str]) -> dict[str, Any]:
    """--config.section.field=value -> {"section.field": value}; numbers as JSON reads them, the rest as text."""
    found = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not name.startswith("--config.") or not equals:
            raise BadInput(f"{argument}: expected --config.section.field=value")
        try:
            found[name.removeprefix("--config.")] = json.loads(value)
        except json.JSONDecodeError:
            found[name.removeprefix("--config.")] = value
    return found
