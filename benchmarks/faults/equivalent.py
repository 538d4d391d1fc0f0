"""Mutants that change nothing that is promised, and why."""

# (file, part of the mutant as `mutants` names it) -> why it is equivalent.
EQUIVALENT: dict[tuple[str, str], str] = {}


def reason(mutant: str) -> str:
    """Return why a mutant is equivalent, or "" for one that is not."""
    return next((why for (path, part), why in EQUIVALENT.items() if mutant.startswith(path) and part in mutant), "")
