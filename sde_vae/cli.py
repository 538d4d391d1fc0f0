"""The command line: `python main.py ...` in a clone, `sde-vae ...` once installed."""

import contextlib
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ml_collections import ConfigDict

from sde_vae import runtime
from sde_vae.build.config import checked, fields, find_config, load_config, require_field, set_fields
from sde_vae.build.unread import unread
from sde_vae.build.workdirs import check_same_model, find_workdir, trained_config
from sde_vae.errors import BadInput, choose, exit_code, shortened
from sde_vae.hosts.cluster import Cluster, asked_for
from sde_vae.hosts.join import joined
from sde_vae.hosts.together import LONG, first
from sde_vae.printing import printable_output
from sde_vae.training.signals import leaving

if TYPE_CHECKING:
    from sde_vae.run import Run

HELP = """Train, evaluate and use ScoreVAE and the models it is compared with.

  python main.py --config configs/NAME.py --mode train [--workdir DIR] [--config.section.field=value ...]
  python main.py --workdir DIR --mode eval|sample|encode|reconstruct|restore|export   [--config.section.field=value ...]

Once installed, `sde-vae` is the same program, and --config takes an example's name: --config scorevae_digits.

modes
  train         train the stages that are not finished; stop it at any time, the same command goes on
  eval          write WORKDIR/eval: metrics.json, figures, report.html
  sample        new images:        [--n 64] [--sample_seed 0] [--label 3 [--guidance 2]] [--output FOLDER|FILE.npz]
  encode        images to codes:   --input FOLDER|ZIP|SPLIT [--output codes.npz]   (means, log-variances, file names)
  reconstruct   images to images:  --input FOLDER|ZIP|SPLIT [--output FOLDER|FILE.npz]
  restore       what a conditional run observes, to images, n for each: --input FOLDER|ZIP|SPLIT [--n 5] [--sample_seed 0]
                [--output FOLDER|FILE.npz]; for inpainting --mask FILE|FOLDER|ZIP, white where a picture is to be filled in:
                one mask for all pictures, or one of each picture's name
  export        the prior as a folder of diffusers, if its network is unet2d: [--output FOLDER]

options
  --config FILE|NAME   a config file, or an example by name; a trained workdir needs none. A config is Python code, which is run:
                       use only those that you trust
  --workdir DIR        where checkpoints, logs and results go; runs/NAME by default
  --config.x.y=value   set a field; docs/config.md lists them all
  --coordinator HOST:PORT --num_processes N --process_id I
                       train over several processes: the address of process 0, their number, and which this is, from 0. Without them
                       TPU pods, SLURM, Open MPI and Kubernetes are detected; --num_processes 1 uses this process alone
  --help               this page

Ctrl-C or SIGTERM: training saves its state and stops, other modes leave with finished pieces kept; a second one leaves at once.
Exit codes: 0 done (or training stopped with the state saved), 2 bad input, 1 anything else, 130 or 143 left at once by a signal.
"""
OF_CLUSTER = ("coordinator", "num_processes", "process_id")
OPTIONS = ("config", "mode", "workdir", "input", "output", "mask", "n", "sample_seed", "label", "guidance", *OF_CLUSTER)
# Options that belong to single modes.
OF_MODES = {
    "input": ("encode", "reconstruct", "restore"),
    "mask": ("restore",),
    "n": ("sample", "restore"),
    "sample_seed": ("sample", "restore"),
    "label": ("sample",),
    "guidance": ("sample",),
}


class Command(NamedTuple):
    """What the command line asks for. `config` is complete; `directory` is the workdir; the rest belongs to single modes."""

    mode: str
    config: ConfigDict
    directory: Path
    input: str | None
    output: str | None
    mask: str | None
    n: int
    sample_seed: int | None
    label: int | None = None
    guidance: float | None = None
    cluster: Cluster | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. argv is without the program's name; None is that of this process.

    >>> main(["--mode", "sample", "--workdir", "digits", "--n", "2", "--output", "two.npz"])  # doctest: +SKIP
    0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or "--help" in words or "-h" in words:
        print(HELP)
        return 0 if words else 2

    def work() -> None:
        command = parse(words)
        runtime.enable_compilation_cache()
        with joined(command.cluster) as several:
            if command.mode == "train" or not several:
                MODES[command.mode](command)
            else:
                # Of several processes the first has all the work, on its own devices.
                first(command.mode, lambda: MODES[command.mode](command), LONG)

    with printable_output(), leaving("left; what is finished is kept, and the same command goes on from there"):
        return exit_code(work)


def parse(words: Sequence[str]) -> Command:
    """Read the command line. Raises BadInput for anything that it gets wrong."""
    options, changes = split_words(words)
    if "mode" not in options:
        raise BadInput(f"--mode: missing; expected one of {', '.join(MODES)}")
    mode = options["mode"]
    choose("--mode", mode, MODES)
    for name, modes in OF_MODES.items():
        if name in options and mode not in modes:
            raise BadInput(f"--{name}: belongs to --mode {' and '.join(modes)}, not to {mode}; leave it out")
    if "output" in options and mode in ("train", "eval"):
        raise BadInput(f"--output: --mode {mode} writes to --workdir; leave it out")
    config, directory = config_and_workdir(options, changes, mode)
    return Command(
        mode,
        config,
        directory,
        options.get("input"),
        options.get("output"),
        options.get("mask"),
        whole_number("--n", options.get("n", "5" if mode == "restore" else "64"), 1),
        whole_number("--sample_seed", options["sample_seed"], 0) if "sample_seed" in options else None,
        whole_number("--label", options["label"], 0) if "label" in options else None,
        finite_number("--guidance", options["guidance"]) if "guidance" in options else None,
        asked_for(*map(options.get, OF_CLUSTER)),
    )


def split_words(words: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return ({option: value}, {"section.field": value}). Raises BadInput for words that are neither."""
    options: dict[str, str] = {}
    changes: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--"):
            raise BadInput(f"{word!r}: not an option; options begin with --, and a value with spaces needs quotes")
        field = name.removeprefix("config.") if name.startswith("config.") else None
        if field is None and name not in OPTIONS:
            raise BadInput(f"--{name}: unknown option; known: {', '.join(f'--{o}' for o in OPTIONS)}, --config.FIELD")
        if field is not None:
            require_field(field, word)
        if not equals:
            value = next_value(word, rest, field)
        known, key = (options, name) if field is None else (changes, field)
        if key in known:
            raise BadInput(f"{word}: given twice; give it once")
        if field is None and not value:
            raise BadInput(f"--{name}: empty; expected a value")
        known[key] = value
    return options, changes


def next_value(word: str, rest: list[str], field: str | None) -> str:
    """Take the value that follows `word`; a flag that is True or False may stand without one."""
    if rest and not rest[0].startswith("--"):
        return rest.pop(0)
    if field is not None and isinstance(fields()[field].default, bool):
        return "True"
    raise BadInput(f"{word}: expected a value after it")


def config_and_workdir(options: dict[str, str], changes: dict[str, str], mode: str) -> tuple[ConfigDict, Path]:
    """Return the config and the workdir: the config of --config, or else the one that the workdir was trained with."""
    if "config" not in options and "workdir" not in options:
        raise BadInput(
            "--config: expected a config, such as --config configs/scorevae_digits.py, or a trained --workdir"
        )
    if "config" in options:
        path = find_config(options["config"])
        # Of a run's own config.json, the run itself.
        default = path.parent if path.suffix == ".json" else f"runs/{path.stem}"
        config, directory = load_config(path), Path(options.get("workdir", default)).expanduser()
    else:
        directory = find_workdir(options["workdir"])
        config = trained_config(directory)
    config = checked(set_fields(config, changes))
    # What prepares the pictures of --input is read whatever the data set.
    for note in unread(config, [name for name in changes if "input" not in options or not name.startswith("data.")]):
        print(note)
    if mode != "train":
        check_same_model(config, directory)
    return config, directory


def whole_number(name: str, text: str, least: int) -> int:
    """Return the number, or raise BadInput."""
    # Python reads no number of thousands of digits.
    if not text.isdecimal() or len(text) > 100 or not least <= int(text) < 2**32:
        raise BadInput(
            f"{name}: got {shortened(repr(text))}, expected a whole number, at least {least} and below 2**32"
        )
    return int(text)


def finite_number(name: str, text: str) -> float:
    """Return the number, or raise BadInput."""
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(text)):
            return number
    raise BadInput(f"{name}: got {text!r}, expected a finite number")


# A command is imported when it runs: --help and a mistyped option answer at once.


def _train(command: Command) -> None:
    from sde_vae.commands.train import train

    finished = train(command.config, command.directory)
    if finished:
        program = "sde-vae" if Path(sys.argv[0]).stem == "sde-vae" else "python main.py"
        print(f"next      {program} --workdir {shlex.quote(str(command.directory))} --mode eval")


def _eval(command: Command) -> None:
    from sde_vae.commands.evaluate import evaluate_run
    from sde_vae.run import Run

    evaluate_run(Run(command.directory, command.config))


def _sample(command: Command) -> None:
    from sde_vae.commands.export import default_output, sample_to

    run = _run(command)
    out = Path(command.output).expanduser() if command.output else default_output(run, "samples")
    sample_to(run, command.n, command.sample_seed, out, command.label, command.guidance)


def _encode(command: Command) -> None:
    from sde_vae.commands.export import encode_to

    run, source = _run(command), _input(command)
    encode_to(run, source, Path(command.output or "codes.npz").expanduser())


def _reconstruct(command: Command) -> None:
    from sde_vae.commands.export import default_output, reconstruct_to

    run, source = _run(command), _input(command)
    out = Path(command.output).expanduser() if command.output else default_output(run, "reconstructions")
    reconstruct_to(run, source, out)


def _restore(command: Command) -> None:
    from sde_vae.commands.export import default_output
    from sde_vae.commands.restore import restore_to

    run, source = _run(command), _input(command)
    out = Path(command.output).expanduser() if command.output else default_output(run, "restorations")
    restore_to(run, source, command.mask, command.n, command.sample_seed, out)


def _export(command: Command) -> None:
    from sde_vae.commands.export import free_name
    from sde_vae.commands.priors import export_to

    run = _run(command)
    export_to(run, Path(command.output).expanduser() if command.output else free_name(run.results / "diffusers"))


def _run(command: Command) -> "Run":
    from sde_vae.run import Run

    run = Run(command.directory, command.config)
    for note in run.unfinished():
        print(note)
    return run


def _input(command: Command) -> str:
    if not command.input:
        raise BadInput(
            "--input: expected a folder or zip of images, or a split of the run's data: train, valid or test"
        )
    return command.input


MODES: dict[str, Any] = {
    "train": _train,
    "eval": _eval,
    "sample": _sample,
    "encode": _encode,
    "reconstruct": _reconstruct,
    "restore": _restore,
    "export": _export,
}
