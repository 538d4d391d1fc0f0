"""The one exception that means: the user gave something we cannot use."""


class BadInput(ValueError):
    """One line that names the field, the value got, and what is allowed. `main.py` prints it and exits with 2."""


def choose(field: str, name: str, table: dict):
    """table[name], or a BadInput that lists the names known."""
    if name not in table:
        raise BadInput(f"{field}: unknown name {name!r}; known: {', '.join(sorted(table))}")
    return table[name]
