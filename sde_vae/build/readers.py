"""Which configs read a field: a condition on the other fields, in words and as a test.

A field that a config does not read changes nothing. `build.unread` says so of those that were set all the same.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict


class Reader(NamedTuple):
    """A condition on a config: its words, and the test of a config that holds where the field is read."""

    text: str
    holds: Callable[[ConfigDict], bool]


ALWAYS = Reader("", lambda config: True)


def only(name: str, *values: Any) -> Reader:
    """The configs whose field `name` has one of `values`."""
    return Reader(f"{name} is {_listed(values)}", lambda config: value_of(config, name) in values)


def unless(name: str, *values: Any) -> Reader:
    """The configs whose field `name` has none of `values`."""
    text = f"is {'none of' if len(values) > 1 else 'not'} {', '.join(map(str, values))}"
    return Reader(f"{name} {text}", lambda config: value_of(config, name) not in values)


def given(name: str) -> Reader:
    """The configs whose field `name` is set: not 0, not empty, not None."""
    return Reader(f"{name} is set", lambda config: bool(value_of(config, name)))


def not_given(name: str) -> Reader:
    """The configs whose field `name` is 0, empty or None."""
    return Reader(f"{name} is not set", lambda config: not value_of(config, name))


def asks_for(name: str, *values: str) -> Reader:
    """The configs whose tuple `name` has one of `values`."""
    return Reader(f"{name} has {_listed(values)}", lambda config: bool(set(value_of(config, name)) & set(values)))


def all_of(*readers: Reader) -> Reader:
    """The configs in which all conditions hold."""
    text = " and ".join(f"({r.text})" if " or " in r.text and ", " in r.text else r.text for r in readers if r.text)
    return Reader(text, lambda config: all(reader.holds(config) for reader in readers))


def any_of(*readers: Reader) -> Reader:
    """The configs in which one of the conditions holds."""
    return Reader(", or ".join(r.text for r in readers), lambda config: any(reader.holds(config) for reader in readers))


def value_of(config: ConfigDict, name: str) -> Any:
    """Return the value of "section.field"."""
    for part in name.split("."):
        config = config[part]
    return config


def _listed(values: tuple[Any, ...]) -> str:
    return " or ".join(map(str, values))
