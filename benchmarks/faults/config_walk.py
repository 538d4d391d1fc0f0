"""Every config field times every bad value: refused in one line with exit code 2, or valid, and then it trains.

    python -m benchmarks.faults.config_walk [--only FIELD_OR_SECTION ...]

With --only, the counts of these fields replace theirs in the results. What has been walked is written after each section of the config. A field is set in a tiny config that reads it. The valid values are trained for one or two steps, each by the command line's own `main`.
"""

import contextlib
import io
import os
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

# Most programs run once, and compiling them takes more time than running them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
from ml_collections import ConfigDict

from benchmarks.arguments import parser_of
from sde_vae import cli
from sde_vae.build.config import fields, set_fields
from sde_vae.build.fields import default_config
from sde_vae.errors import BadInput

VALUES = (
    *("nan", "inf", "-inf", "-1", "-0.5", "0", "-0.0", "1e-30", "0.5", "2", "7", "1e3", "1e12", "1e30", "1e400"),
    *(
        "9" * 40,
        "9" * 5000,
        "0x10",
        "True",
        "None",
        "()",
        "(1.5,2)",
        "('1','2')",
        "(0,1)",
        "(-1,2)",
        "(1,2)",
        "(1e12,)",
    ),
    *("[[]]", "{}", "(" * 3000, "x", "", " ", "../x", "x" * 300, "x\ny", "\x1b[31m", "\u00e4", "(latents,latents)"),
)
TINY: dict[str, Any] = {
    "data.cache": "",
    "model.latent_dim": 2,
    **{f"model.{net}.channels": 4 for net in ("prior", "encoder", "decoder", "correction", "shift")},
    **{f"model.{net}.multipliers": "(1,)" for net in ("prior", "encoder", "decoder", "correction", "shift")},
    "model.latent_prior.hidden": 16,
    "model.latent_prior.blocks": 1,
    **{f"stages.{stage}.steps": 1 for stage in ("prior", "encoder")},
    **{f"stages.{stage}.batch_size": 8 for stage in ("prior", "encoder", "correction", "latent")},
    **{f"stages.{stage}.warmup": 0 for stage in ("prior", "encoder", "correction", "latent")},
    "sampling.steps": 2,
    "eval.lpips": "None",
    "eval.extractor": "none",
    "eval.batch_size": 8,
}
RESTORING = {"eval.evaluators": "restoration"}
# The first of these that reads a field is the one in which the field is set.
BASES: tuple[dict[str, Any], ...] = (
    {},
    {"method": "beta_vae"},
    {"method": "diff_decoder"},
    {"method": "diffuse_vae"},
    {"method": "prior", "eval.evaluators": "samples"},
    {"method": "pdae"},
    {"method": "pdae", "model.shift.body": "unet"},
    {"sde.name": "ve"},
    {"sde.name": "cosine_vp"},
    {"stages.correction.steps": 1},
    {"stages.latent.steps": 1},
    {"synthetic.n": 8},
    {"prior.checkpoint": "none"},
    {"stages.encoder.weight": "sigmoid"},
    {"sampling.grid": "edm"},
    *({"sampling.solver": solver} for solver in ("ddim", "heun", "predictor_corrector", "ode")),
    {"data.name": "fashion_mnist"},
    {"eval.extractor": "fid"},
    {"eval.lpips": "alex"},
    {"data.name": "folder"},
    {"data.name": "arrays", "data.shape": 3, "eval.evaluators": "latents"},
    {"eval.evaluators": "latents", "loss.beta": 0},
    *(RESTORING | {"method": method} for method in ("vs_cmde", "pigdm", "bayes")),
    *(RESTORING | {"method": "cmde", "task.name": task} for task in ("super_resolution", "deblurring")),
    RESTORING | {"method": "cmde", "sde.name": "ve"},
    RESTORING | {"method": "cmde", "task.name": "pairs", "data.name": "pairs"},
    {"labels.attribute": "digit"},
)
LIMIT = 300  # seconds of the processor, which other programs do not change
WAIT = 3600  # seconds, of what waits without computing
# cases; thousands of compiled programs would use up the memory maps that a process may have
CLEARED_EVERY = 10
OUTCOMES = ("refused", "valid", "not one line", "traceback", "hang")


class Case(NamedTuple):
    """A field, the text that it is set to, and the fields of the config around it."""

    field: str
    value: str
    base: dict[str, Any]


def cases(only: tuple[str, ...] = ()) -> Iterator[Case]:
    """Yield every field times every value; a value equal to an earlier one in the field's own type is left out."""
    for name, field in fields().items():
        if only and not any(name == of or name.startswith(f"{of}.") for of in only):
            continue
        base = next((base for base, config in tiny_configs() if field.reader.holds(config)), TINY)
        seen: list[Any] = []
        for value in VALUES:
            with contextlib.suppress(ValueError):
                read = field.allowed.read(value)
                if read in seen:
                    continue
                seen.append(read)
            yield Case(name, value, base)


_defaults = cache(default_config)


@cache
def tiny_configs() -> list[tuple[dict[str, Any], ConfigDict]]:
    """Return the tiny configs: the fields that each sets, and the whole."""
    return [(TINY | base, set_fields(_defaults(), TINY | base)) for base in BASES]


def words(case: Case, workdir: Path) -> list[str]:
    """Return the command line that trains the case."""
    changes = {**case.base, "data.cache": str(workdir.parent / "cache"), case.field: case.value}
    set_as = [f"--config.{name}={value}" for name, value in changes.items()]
    return ["--config", "default", "--workdir", str(workdir), "--mode", "train", *set_as]


def train(case: Case, workdir: Path) -> str:
    """Return the outcome of the whole command."""
    errors = io.StringIO()
    old = {number: signal.signal(number, _expired) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    signal.alarm(WAIT)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            code = cli.main(words(case, workdir))
    except TimeoutError:
        return "hang"
    # Whatever escapes the command line is what this looks for.
    except BaseException:
        traceback.print_exc()
        return "traceback"
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in old.items():
            signal.signal(number, handler)
    said = [line for line in errors.getvalue().splitlines() if line.startswith("error: ")]
    if code == 0:
        return "valid"
    whole = errors.getvalue()[errors.getvalue().find("error: ") :].rstrip("\n")
    return "refused" if code == 2 and len(said) == 1 and "\n" not in whole else "not one line"


def refused_or_built(case: Case) -> str:
    """Return the outcome up to the point where data would be read: "refused" or "valid". Any error but BadInput is raised."""
    from sde_vae.build.experiment import build

    try:
        config = set_fields(_defaults(), case.base | {case.field: case.value})
        # The evaluation's fields build nothing, except for the names of evaluators.
        if not case.field.startswith("eval.") or case.field == "eval.evaluators":
            build(config)
    except BadInput as error:
        return "refused" if "\n" not in str(error) else "not one line"
    return "valid"


def _expired(number: int, frame: Any) -> None:
    raise TimeoutError


def main() -> int:
    parser = parser_of("benchmarks.faults.config_walk", __doc__)
    parser.add_argument("--only", nargs="*", default=[], help="fields and sections to walk; all by default")
    only = tuple(parser.parse_args().only)
    warnings.simplefilter("ignore")
    # Many cases have the same programs.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    found: dict[str, Counter] = {}
    for _, of_section in groupby(cases(only), lambda case: section_of(case.field)):
        walk(of_section, found)
        report(found, in_parts=bool(only))
    return int(any(counts.keys() - {"refused", "valid"} for counts in found.values()))


def walk(of_section: Iterable[Case], found: dict[str, Counter]) -> None:
    """Train each case, and add its outcome to `found` under its field."""
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(of_section):
            workdir = Path(folder) / "run"
            outcome = train(case, workdir)
            shutil.rmtree(workdir, ignore_errors=True)
            if number % CLEARED_EVERY == 0:
                jax.clear_caches()
            found.setdefault(case.field, Counter())[outcome] += 1
            if outcome not in ("refused", "valid"):
                print(f"{case.field}={case.value[:40]!r}: {outcome}", flush=True)


def section_of(field: str) -> str:
    """Return the section of the config that a field is in."""
    return field.rpartition(".")[0] or "the run"


def report(found: dict[str, Counter], in_parts: bool) -> None:
    """Write the section of the page: a row a section of the config. Fields that were not walked keep their counts."""
    from benchmarks.faults.record import figures_of, record_section

    before = figures_of("config_walk").get("fields", {})
    found = {name: found.get(name, Counter(before.get(name, {}))) for name in fields()}
    sections: dict[str, Counter] = {}
    for field, counts in found.items():
        section = section_of(field)
        sections.setdefault(section, Counter()).update(counts)
        sections[section]["fields"] += bool(counts)
    total = sum(sections.values(), Counter())
    rows = [
        [name, *(str(counts[column]) for column in ("fields", *OUTCOMES))]
        for name, counts in {**sections, "all": total}.items()
        if counts["fields"]
    ]
    left = sum(not counts for counts in found.values())
    parts = " It is walked in parts, each with --only, and the command is that of the last." if in_parts else ""
    parts += f" {left} of {len(found)} fields are left." if left else ""
    record_section(
        "config_walk",
        "Every config field times every bad value",
        ["section", "fields", *OUTCOMES],
        rows,
        f"{len(VALUES)} values a field, as the command line takes them; those that a field reads as an earlier one are left out. Refused: "
        f"exit code 2 and one line. Valid: it trains, in a config that reads the field.{parts}",
        {"fields": {field: dict(counts) for field, counts in found.items()}},
    )


if __name__ == "__main__":
    sys.exit(main())
