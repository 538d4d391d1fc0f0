"""ScoreVAE's reconstructions beside PCA's and the mean image's, on the networks and steps that a config says.

    python benchmarks/reconstruction.py --data fashion_mnist|avatars32|digits|... [--workdir DIR] [--config.section.field=value ...]

Trains and evaluates configs/scorevae_DATA.py (going on where it was stopped), and writes results/reconstruction_DATA.{json,md,png}.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from record import RESULTS, record

from sde_vae import logs
from sde_vae.tables import figure, tables

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--workdir", type=Path)
    options, changes = parser.parse_known_args()
    directory = (options.workdir or ROOT / "runs" / f"scorevae_{options.data}").absolute()
    config = f"configs/scorevae_{options.data}.py"
    for mode in ("train", "eval"):
        command = [sys.executable, "main.py", "--config", config, "--mode", mode, "--workdir", str(directory), *changes]
        subprocess.run(command, cwd=ROOT, check=True)

    metrics = json.loads((directory / "eval" / "metrics.json").read_text())
    reconstruction = tables(metrics)[0]
    rows = [[name, *(figure(*cell) for cell in cells)] for name, cells in reconstruction.rows]
    last = {stage: logs.read(directory / stage / "metrics.jsonl")[-1] for stage in ("prior", "encoder")}
    rest = "; ".join(
        f"{table.title}: "
        + ", ".join(
            f"{name} ({', '.join(table.head)}): {' | '.join(figure(*c) for c in cells)}" for name, cells in table.rows
        )
        for table in tables(metrics)[1:]
    )
    notes = (
        f"{reconstruction.title}, {metrics['latent_dim']} latents, {metrics['reconstruction/nfe']:.0f} evaluations of the score "
        f"an image, seed {metrics['seed']} (one run), "
        + ", ".join(
            f"{stage} {row['step']} steps at {metrics[f'{stage}_steps_per_second']:.1f}/s"
            for stage, row in last.items()
        )
        + f", `{config}`. {rest}."
    )
    name = f"reconstruction_{options.data}"
    record(name, f"Reconstruction: {options.data}", metrics, ["", *reconstruction.head], rows, notes)
    shutil.copyfile(directory / "eval" / "reconstructions.png", RESULTS / f"{name}.png")


if __name__ == "__main__":
    main()
