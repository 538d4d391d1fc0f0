"""Says which steps have become slower beside PyTorch, or faster, since a commit.

    python -m benchmarks.speed.changed [--since HEAD]

Compares benchmarks/results/step_time.json of the working tree with that of the commit. Ratios to PyTorch, measured in turn, stay the same
on another machine of the kind, where milliseconds do not. A ratio has changed if the ranges of the rounds do not meet, and the medians
differ by more than LEAST. Exits with 1 if a step is slower.
"""

import json
import subprocess
import sys
from typing import Any

from benchmarks.arguments import parser_of
from benchmarks.record import ROOT, markdown
from benchmarks.speed.summary import Rows, label
from sde_vae.errors import BadInput, exit_code

# On one machine the median of 5 rounds moves by less.
LEAST = 0.05
PLACE = "benchmarks/results/step_time.json"
ENGINES = ("torch", "torch.compile")


def changes(before: Rows, after: Rows) -> list[tuple[str, str, str, str, str]]:
    """Return (step, to which engine, ratio before, ratio after, "slower" or "faster" or "") of each ratio that both have.

    Raises BadInput if they have none in common.
    """
    old, found = {label(row): row for row in before}, []
    for row in after:
        for engine in ENGINES:
            ratio, spread = f"ratio_to_{engine}", f"ratio_to_{engine}_range"
            was = old.get(label(row), {})
            if ratio in row and ratio in was:
                found.append(
                    (label(row), engine, *(f"{of[ratio]:.2f}" for of in (was, row)), verdict(was, row, ratio, spread))
                )
    if not found:
        raise BadInput(
            "--since: no step has a ratio there and here; measure some with python -m benchmarks.speed.step_time"
        )
    return found


def verdict(was: dict[str, Any], row: dict[str, Any], ratio: str, spread: str) -> str:
    (low, high), (was_low, was_high) = row[spread], was[spread]
    if high < was_low and row[ratio] < (1 - LEAST) * was[ratio]:
        return "slower"
    return "faster" if low > was_high and row[ratio] > (1 + LEAST) * was[ratio] else ""


def committed(commit: str) -> Rows:
    """Return the rows at a commit. Raises BadInput if it has none."""
    done = subprocess.run(["git", "show", f"{commit}:{PLACE}"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise BadInput(f"--since: {done.stderr.strip()}; name a commit that has {PLACE}")
    return json.loads(done.stdout)["figures"]["rows"]


def main() -> int:
    parser = parser_of("benchmarks.speed.changed", __doc__)
    parser.add_argument("--since", default="HEAD", metavar="COMMIT")
    found: list[tuple[str, str, str, str, str]] = []
    since = parser.parse_args().since
    now = lambda: json.loads((ROOT / PLACE).read_text())["figures"]["rows"]
    if code := exit_code(lambda: found.extend(changes(committed(since), now()))):
        return code
    head = ["step", "beside", f"ratio at {since}", "ratio now", ""]
    print(*markdown([head, *map(list, found)]), sep="\n")
    return int(any(row[-1] == "slower" for row in found))


if __name__ == "__main__":
    sys.exit(main())
