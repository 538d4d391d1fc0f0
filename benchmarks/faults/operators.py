"""Small changes of an expression, each of them wrong code that a test should see: the standard operators of mutation testing.

`mutants(source)` yields them in the order of the source. Only code that runs is changed: no annotations, imports, docstrings.
"""

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
TURNED = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE, ast.Is: ast.IsNot, ast.IsNot: ast.Is}
# Functions that stand for each other, the arguments as they are.
SIBLINGS = {
    **{"minimum": "maximum", "maximum": "minimum", "min": "max", "max": "min", "sin": "cos", "cos": "sin"},
    **{"expm1": "exp", "log1p": "log", "any": "all", "all": "any", "mean": "sum", "sum": "mean", "rsqrt": "sqrt"},
    **{"zeros_like": "ones_like", "ones_like": "zeros_like", "zeros": "ones", "ones": "zeros"},
}
# Calls whose first argument may stand alone.
UNWRAPPED = {
    *("exp", "expm1", "log", "log1p", "sqrt", "square", "rsqrt", "tan", "tanh", "sin", "cos", "arctan", "softplus"),
    *("stop_gradient", "silu", "softmax", "sigmoid", "clip", "minimum", "maximum", "double", "halve", "relu", "jit"),
}
# Exchanged with anything else, these are an error of type at once: no test needs to look.
OF_THEIR_OWN_TYPE = {
    *("sde", "self", "key", "keys", "key_z", "key_eps", "batch", "params", "frozen", "score", "strata", "model"),
}


class Mutant(NamedTuple):
    """Where: a line and the source's characters [start, end). What: the text there, what stands there instead, and by which operator."""

    line: int
    start: int
    end: int
    operator: str
    before: str
    after: str

    def applied(self, source: str) -> str:
        """Return the source with the mutant in it."""
        after = self.after if self.operator == "named" else f"({self.after})"
        return f"{source[: self.start]}{after}{source[self.end :]}"


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of the source."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    # Positions of `ast` count bytes.
    offset = lambda line, column: (
        starts[line - 1] + len(source[starts[line - 1] : starts[line]].encode()[:column].decode())
    )
    seen = set()
    for node in _running(ast.parse(source)):
        start, end = offset(node.lineno, node.col_offset), offset(node.end_lineno, node.end_col_offset)
        for operator, changed in _changes(node):
            found = Mutant(node.lineno, start, end, operator, source[start:end], ast.unparse(changed))
            if (start, end, found.after) not in seen and found.after != ast.unparse(node):
                seen.add((start, end, found.after))
                yield found


def _running(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions that run, from the outside in."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.JoinedStr):
        return
    # Types: aliases at the top of a module, such as Weight = Callable[...].
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id[0].isupper():
        return
    if isinstance(node, ast.expr):
        yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "keywords_of_class"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.Import | ast.ImportFrom):
                yield from _running(child)


def _changes(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.BinOp):
        yield from _of_arithmetic(node)
    elif isinstance(node, ast.UnaryOp):
        if isinstance(node.op, ast.USub | ast.Not):
            yield "sign dropped", node.operand
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for name, table in (("border", COMPARED), ("comparison turned", TURNED)):
            if type(node.ops[0]) in table:
                yield name, _with(node, ops=[table[type(node.ops[0])]()])
    elif isinstance(node, ast.BoolOp):
        yield "and, or", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.IfExp):
        yield "one branch", node.body
        yield "one branch", node.orelse
    elif isinstance(node, ast.Constant):
        yield from _of_constant(node)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_arithmetic(node: ast.BinOp) -> Iterator[tuple[str, ast.expr]]:
    if type(node.op) in ARITHMETIC:
        yield "arithmetic", _with(node, op=ARITHMETIC[type(node.op)]())
    if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow):
        yield "term dropped", node.left
    if isinstance(node.op, ast.Add | ast.Mult):
        yield "term dropped", node.right


def _of_constant(node: ast.Constant) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node.value, bool):
        yield "constant", ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield "constant", ast.Constant(node.value + 1)
    elif isinstance(node.value, float):
        yield "constant", ast.Constant(node.value * 1.25 if node.value else 1.0)


def _of_call(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    plain = not any(isinstance(a, ast.Starred) for a in node.args)
    if name in UNWRAPPED and node.args and plain:
        yield "call dropped", node.args[0]
    if name in SIBLINGS:
        func = copy.deepcopy(node.func)
        setattr(func, "attr" if isinstance(func, ast.Attribute) else "id", SIBLINGS[name])
        yield "sibling", _with(node, func=func)
    for i in range(len(node.args) - 1):
        if plain and not any(isinstance(a, ast.Name) and a.id in OF_THEIR_OWN_TYPE for a in node.args[i : i + 2]):
            args = [*node.args[:i], node.args[i + 1], node.args[i], *node.args[i + 2 :]]
            yield "arguments swapped", _with(node, args=args)
    for i, keyword in enumerate(node.keywords):
        if keyword.arg:
            yield "keyword dropped", _with(node, keywords=[*node.keywords[:i], *node.keywords[i + 1 :]])


def _with(node: ast.expr, **fields: object) -> ast.expr:
    """Return a copy of a node with other fields."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other
