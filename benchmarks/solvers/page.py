"""The page of the benchmark of the solvers: a table of l2, one of the inversions, and notes."""

from typing import Any

from benchmarks.record import markdown
from benchmarks.solvers.figures import DISTANCES, Row
from sde_vae.reporting.tables import figure

Found = dict[str, Any]
# The last column: the adaptive solver and the reference, which have no budget.
OTHER = "other (NFE)"


def page(found: Found, budgets: list[int]) -> tuple[list[str], list[list[str]], str]:
    """(head, rows, notes)."""
    budgets = sorted(budgets)
    rows = _lines(found["rows"], "l2", budgets)
    rows += _lines(
        [row | {"solver": f"{row['solver']}, {row['steps']} steps"} for row in found["references"]], "l2", budgets
    )
    return ["l2 ↓", "grid", *(f"NFE ≤ {b}" for b in budgets), OTHER], rows, "\n\n".join(_notes(found, budgets))


def _lines(rows: list[Row], metric: str, budgets: list[int]) -> list[list[str]]:
    """A line for each solver and grid."""
    lines: dict[tuple[str, str], dict[int, Row]] = {}
    for row in rows:
        fixed = not row["grid"].startswith("tolerance") and row["nfe"] <= budgets[-1]
        column = next(i for i, b in enumerate(budgets) if row["nfe"] <= b) if fixed else len(budgets)
        lines.setdefault((row["solver"], row["grid"]), {})[column] = row
    return [
        [
            solver,
            grid,
            *(cell(at[i], metric) if i in at else "" for i in range(len(budgets))),
            f"{cell(at[len(budgets)], metric)} ({at[len(budgets)]['nfe']})" if len(budgets) in at else "",
        ]
        for (solver, grid), at in lines.items()
    ]


def cell(row: Row, metric: str) -> str:
    return figure(row[metric], row[f"{metric}_stderr"]) if metric in row else "not finite"


def _notes(found: Found, budgets: list[int]) -> list[str]:
    reference = found["reference"]
    name = f"nfe_equal_to_em{reference['steps']}"
    of_each = lambda key, text: "; ".join(f"{_label(found, m)} {text(m, at)}" for m, at in found[key].items() if at)
    equal = lambda m, row: f"{row['nfe']} ({row['solver']}, {row['grid']}: {cell(row, m)})"
    at_once = found[f"{name}_in_all_metrics"]
    inversions = [
        ["PSNR, dB ↑", "grid", *(f"NFE ≤ {b}" for b in budgets), OTHER],
        *_lines(found["inversion"], "psnr", budgets),
    ]
    return [
        f"{found['n']} images of the split {found['split']}, {found['seeds']} seeds, one run (step {found['step']}, "
        f"{found['latent_dim']} latents). The reference is Euler-Maruyama with {reference['steps']} steps on "
        f"{reference['grid']}: " + ", ".join(f"{_label(found, m)} {cell(reference, m)}" for m in DISTANCES) + ".",
        f"Fewest evaluations within one standard error of the reference: {of_each(f'{name}_by_metric', equal)}; in all "
        f"metrics at once: {equal('l2', at_once) if at_once else 'none'}. Within one standard error of the paired "
        f"difference: {of_each(f'{name}_paired_by_metric', equal)}.",
        "Ratio of the best with at most 10 evaluations to the reference: "
        + of_each("at_10_over_reference_by_metric", lambda m, at: f"{at['ratio']:.3f} ({at['solver']}, {at['grid']})")
        + ".",
        *(
            f"Best {_label(found, m)} of each solver (NFE): {', '.join(_best(found['rows'], m))}."
            for m in DISTANCES[1:]
        ),
        f"Inversion: images decoded from z and their inverted x_T; NFE of one direction. Without inversion the PSNR is "
        f"{cell(reference, 'psnr')} dB.",
        "\n".join(markdown(inversions)),
    ]


def _label(found: Found, metric: str) -> str:
    return found["fd"] if metric == "fd" else metric


def _best(rows: list[Row], metric: str) -> list[str]:
    """The best first, each with its evaluations."""
    best: dict[str, Row] = {}
    for row in sorted((row for row in rows if metric in row), key=lambda row: row[metric]):
        best.setdefault(row["solver"], row)
    return [f"{solver} {cell(row, metric)} ({row['nfe']})" for solver, row in best.items()]
