"""The short table of the benchmark of the solvers, for the documentation."""

import json

import numpy as np
import pandas as pd

from benchmarks.comparison.statistics import cell
from benchmarks.record import RESULTS, Made


def summary(result: str) -> Made:
    """l2 of each solver on the better of its grids, by budget of evaluations."""
    found = json.loads((RESULTS / f"{result}.json").read_text())["figures"]
    frame = pd.DataFrame(found["rows"])
    frame = frame[~frame["grid"].str.startswith("tolerance")]
    budgets = sorted(frame.loc[frame["solver"] == "ancestral", "nfe"].unique())
    frame["budget"] = [next(b for b in budgets if nfe <= b) for nfe in frame["nfe"]]
    frame["score"] = np.log(frame["l2"]).groupby([frame["solver"], frame["grid"]]).transform("mean")
    best = frame[frame["score"] == frame.groupby("solver")["score"].transform("min")]
    rows = [["solver", "grid", *(f"NFE ≤ {b}" for b in budgets)]]
    for (solver, grid), of in best.groupby(["solver", "grid"], sort=False):
        of = of.set_index("budget")
        cells = [cell(of["l2"].get(b, np.nan), of["l2_stderr"].get(b, np.nan)) for b in budgets]
        rows.append([f"`{solver}`", f"`{grid}`", *cells])
    reference = found["reference"]
    caption = (
        f"l2 (↓) of the reconstructions, {found['n']} images of the split {found['split']}, {found['seeds']} seeds. The reference, "
        f"Euler-Maruyama with {reference['steps']} steps, has {cell(reference['l2'], reference['l2_stderr'])}."
    )
    return rows, caption
