"""The arrays of a tree of dicts and lists, by name; what is not asked for is passed over."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sde_vae.pretrained.stand_ins import MAX_NAME, Opaque, Refused, shown

Wanted = Callable[[str], bool]
# Dicts and lists in one another, and places that are visited: one may stand in many places, so that a few have endless leaves.
MAX_DEPTH = 64
MAX_PLACES = 100_000


class Leaf:
    """An array as a file describes it, whose bytes may not have been read."""

    __slots__ = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape. No bytes are read. Raises Refused if the description is not sound."""
        raise NotImplementedError

    @property
    def array(self) -> np.ndarray:
        """Return the array. Raises Refused unless its bytes are those that the description promises."""
        raise NotImplementedError


class Number(Leaf):
    """A number of Python, as an array of shape []."""

    __slots__ = ("value",)

    def __init__(self, value: bool | int | float):
        self.value = value

    @property
    def sizes(self) -> tuple[int, ...]:
        """No axes."""
        return ()

    @property
    def array(self) -> np.ndarray:
        """Return the number."""
        return np.asarray(self.value)


def everything(name: str) -> bool:
    """Want every name."""
    return True


def leaves(tree: Any, wanted: Wanted) -> Iterator[tuple[str, Leaf]]:
    """Yield (name, leaf) for each array whose name is wanted.

    The parts of a name are joined by "/": keys of dicts, and places in lists and tuples of arrays. None is left out. Raises Refused
    for a wanted name that holds anything else, or a dict or list that was there before, and for a tree without end.
    """
    if not isinstance(tree, dict):
        known = tree.why if isinstance(tree, Opaque) else f"it holds one {type(tree).__name__} and not a dict of arrays"
        raise Refused(known)
    for name, node in places(tree, wanted):
        if node is not None and wanted(name):
            yield name, _leaf(name, node)


def places(tree: Any, wanted: Wanted) -> Iterator[tuple[str, Any]]:
    """Yield (name, object) of all that a tree of dicts, lists and tuples holds. Raises what `leaves` raises for such a tree."""
    seen: set[int] = set()
    count = 0
    # Places still to be visited, the next one last.
    ahead: list[tuple[tuple[str, ...], Any]] = [((), tree)]
    while ahead:
        place, node = ahead.pop()
        name = "/".join(place)
        if len(place) > MAX_DEPTH or len(name) > MAX_NAME:
            if wanted(name):
                raise Refused(f"its dicts are over {MAX_DEPTH} deep, or their names over {MAX_NAME} characters")
        elif (children := _children(node)) is None:
            yield name, node
        elif id(node) in seen and wanted(name):
            raise Refused(f"the {type(node).__name__.lower()} at {shown(name)} is there twice")
        elif (count := count + len(children)) > MAX_PLACES:
            raise Refused(f"its dicts and lists unfold to over {MAX_PLACES} places")
        else:
            seen.add(id(node))
            ahead.extend(((*place, part), child) for part, child in reversed(children))


def _children(node: Any) -> list[tuple[str, Any]] | None:
    """Return the parts of a dict, or of a list or tuple of arrays; None for all else, which is one thing."""
    if isinstance(node, dict):
        return [(str(key), child) for key, child in node.items()]
    if (
        isinstance(node, list | tuple)
        and node
        and all(isinstance(item, Leaf | Opaque | dict | list | tuple) for item in node)
    ):
        return [(str(i), child) for i, child in enumerate(node)]
    return None


def _leaf(name: str, node: Any) -> Leaf:
    if isinstance(node, Leaf):
        return node
    if isinstance(node, bool | float) or (isinstance(node, int) and abs(node) < 2**63):
        return Number(node)
    if isinstance(node, Opaque):
        raise Refused(f"at {shown(name)} {node.why}")
    raise Refused(f"{shown(name)} is of type {type(node).__name__}, and not an array or a number of 64 bits")
