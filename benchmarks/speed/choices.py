"""Time of a training step with other values of one or two config fields.

    python -m benchmarks.speed.choices [--rounds 7]

The steps of one stage run in turn in one process, for --rounds rounds; a figure is the median. A ratio is the time of the config as it is over
that of the choice: more than 1 is faster. With model.dtype=bfloat16 the encoder's stage has the frozen prior in bfloat16, and its encoder in
float32. Writes benchmarks/results/choices.{json,md}. Nothing else should run meanwhile.
"""

import os
import statistics
from typing import Any

from tqdm import tqdm

from benchmarks.arguments import parser_of
from benchmarks.record import record
from benchmarks.speed.growth import step_of
from benchmarks.speed.running import in_turn
from benchmarks.speed.summary import choices

CONFIGS, STAGES, BATCH = ("scorevae_fashion_mnist", "scorevae_avatars32"), ("prior", "encoder"), 32
# What is set. The first is what the others are compared with.
CHOICES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "model.dtype=bfloat16": {"model.dtype": "bfloat16"},
    "accumulation=2": {f"stages.{stage}.accumulation": 2 for stage in STAGES},
}


def measure(config: str, stage: str, rounds: int) -> list[dict[str, Any]]:
    """A row a choice, with the milliseconds of a step, and the ratio's median and range."""
    steps = [step_of(config, stage, BATCH, changes) for changes in CHOICES.values()]
    first, *_ = seconds = in_turn(steps, rounds)
    rows = []
    for choice, of in zip(CHOICES, seconds, strict=True):
        ratios = [before / now for before, now in zip(first, of, strict=True)]
        row = {"config": config, "stage": stage, "choice": choice, "ms": 1000 * statistics.median(of)}
        rows.append(row | {"ratio": statistics.median(ratios), "range": [min(ratios), max(ratios)]})
    return rows


def main() -> None:
    parser = parser_of("benchmarks.speed.choices", __doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    places = [(config, stage) for config in CONFIGS for stage in STAGES]
    rows = [row for place in tqdm(places, desc="choices") for row in measure(*place, options.rounds)]
    (head, *lines), caption = choices(rows)
    notes = f"{caption} {options.rounds} rounds of batch {BATCH}, {os.cpu_count()} threads."
    record("choices", "Time of a step by choices of the config", {"rows": rows}, head, lines, notes)


if __name__ == "__main__":
    main()
