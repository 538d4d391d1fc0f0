"""A folder that says what its contents belong to: a key, JSON, in its key.json.

All that is kept on disk to spare work has such a key: unfinished evaluations, their results, synthetic images, moments of real
images. The owner of a folder decides what to do with contents of another key: delete them, refuse them, or use another folder.
"""

import json
from pathlib import Path
from typing import Any

from sde_vae.files import write_json

Key = dict[str, Any]
KEY = "key.json"


def as_key(key: Key) -> Key:
    """Return the key as JSON gives it back: tuples are lists.

    >>> as_key({"shape": (8, 8)})
    {'shape': [8, 8]}
    """
    return json.loads(json.dumps(key))


def held_key(folder: Path) -> Key | None:
    """Return the key of what is in `folder`, or None if there is none that can be read."""
    try:
        held = json.loads((folder / KEY).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None


def write_key(folder: Path, key: Key) -> None:
    """Write the key. Call it after the contents where a folder without a key counts as empty."""
    write_json(folder / KEY, as_key(key))


def first_difference(held: Key, key: Key) -> str | None:
    """Return the first field in which two keys differ, or None if they are the same.

    >>> first_difference({"n": 4, "seed": 0}, {"n": 5, "seed": 0})
    'n'
    """
    new = as_key(key)
    return next((name for name in sorted(held.keys() | new.keys()) if held.get(name) != new.get(name)), None)
