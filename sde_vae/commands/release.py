"""Make a small copy of a trained run for others to load: `python -m sde_vae.commands.release WORKDIR OUT`.

OUT holds config.json and for each stage ema.safetensors: what inference needs, in half precision, without checkpoints, logs and results.
The run that is part of the package was made by

    python main.py --config configs/scorevae_digits.py --mode train
    python -m sde_vae.commands.release runs/scorevae_digits sde_vae/runs/digits
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sde_vae.build.config import set_fields
from sde_vae.build.experiment import build
from sde_vae.build.fields import default_config
from sde_vae.build.lineage import require_lineage
from sde_vae.build.parameters import load_stage
from sde_vae.build.workdirs import find_workdir, trained_config
from sde_vae.commands.train import describe_data
from sde_vae.errors import BadInput, exit_code
from sde_vae.files import require_writable, write_json
from sde_vae.pretrained.spec import write_spec
from sde_vae.training import workdir as workdirs
from sde_vae.training.ema_files import write_ema

# Fields that name files and folders of the machine at hand.
PLACES = (
    "data.dir",
    "data.cache",
    "eval.name",
    "eval.prior",
    "eval.lpips_dir",
    "eval.fid_weights",
    "prior.checkpoint",
    "prior.preset",
    "prior.scheduler",
)


def release(workdir: Path, out: Path) -> None:
    """Write a small copy of the run in `workdir` to `out`.

    Raises BadInput if `out` has content or cannot be written, if a stage is not trained, or if it stands on another prior or encoder.
    config.json is written last: without it, `out` is no run.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"OUT: {out} exists and is not overwritten; remove it, or give another folder")
    require_writable(out.parent, "OUT")
    config = trained_config(workdir)
    experiment = build(config, workdir)
    facts = workdirs.read_facts(workdir)
    stages = list(dict.fromkeys([*experiment.final.depends_on, *(stage.name for stage in experiment.stages)]))
    trained = {name: load_stage(config, experiment, workdir, name) for name in stages}
    require_lineage(config, experiment, stages, trained.__getitem__, workdir)
    for name, found in trained.items():
        write_ema(out / name / workdirs.EMA_FILE, name, found.params, found.step, found.data)
    if experiment.pretrained:
        write_spec(out / "prior", experiment.pretrained, Path(config.prior.checkpoint).name)
    defaults = workdirs.flatten(default_config().to_dict())
    public = set_fields(config, {name: defaults[name] for name in PLACES})
    data = facts.get("data") or describe_data(experiment.load())
    made = {name: facts[name] for name in ("date", "commit", "versions", "devices") if facts.get(name)}
    made |= {"command": public_command(facts.get("command", ""))}
    write_json(out / "config.json", workdirs.described(public.to_dict(), data, made))


def public_command(command: str) -> str:
    """Return a command without --workdir and with paths cut to their last part.

    >>> public_command("python /code/main.py --config configs/mine.py --workdir runs/a --config.data.dir=/data/b")
    'python main.py --config configs/mine.py --config.data.dir=b'
    """
    words: list[str] = []
    rest = command.split()
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if option == "--workdir":
            del rest[: 0 if equals else 1]
            continue
        words.append(_public(option) + equals + _public(value))
    return " ".join(words)


def _public(word: str) -> str:
    return Path(word).name if word.startswith(("/", "~")) else word


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; argv is without the program's name, None is that of this process."""
    words = list(sys.argv[1:] if argv is None else argv)

    def work() -> None:
        if len(words) != 2:
            raise BadInput(f"got {len(words)} words, expected two: python -m sde_vae.commands.release WORKDIR OUT")
        out = Path(words[1]).expanduser()
        release(find_workdir(words[0]), out)
        files: dict[Any, int] = {path: path.stat().st_size for path in sorted(out.rglob("*")) if path.is_file()}
        print(*(f"{size:>9,} bytes  {path}" for path, size in files.items()), sep="\n")
        print(f"{sum(files.values()):>9,} bytes in all")

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
