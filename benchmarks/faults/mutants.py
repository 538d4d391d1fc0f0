"""Wrong code that the tests must see: small changes of the mathematical core and of what stands on it, each against the tests that look at it.

    python -m benchmarks.faults.mutants [--before REVISION] [--per-file 4] [--most N] [--only ROOM ...]

A seeded sample of the mutants of each file (`operators`), of N in all where --most is given, as many of each room, runs in a copy of the repository: first against the tests of REVISION, then, where it
survived those, against those of the working tree. Each run is a fork of a process that has imported JAX and not started it. A mutant is
killed if a test fails, or if the tests take LIMIT seconds of the processor. Verdicts are kept in a file; a second run goes on where the first stopped.
"""

import argparse
import importlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path

from benchmarks.arguments import parser_of
from benchmarks.faults.equivalent import reason
from benchmarks.faults.operators import Mutant, mutants
from sde_vae.files import write_text

ROOT = Path(__file__).parents[2]
# Room -> its files, of training those that compute. The tests that look at a file are its own examples and those in the room's folder that
# import it; if none does, all of these.
ROOMS = {
    **{room: (f"sde_vae/{room}/*.py",) for room in ("diffusion", "bounds", "solvers", "methods", "nets")},
    "training": tuple(f"sde_vae/training/{name}.py" for name in ("logs", "loop", "parallel", "stage", "train_state")),
    **{room: (f"sde_vae/{room}/*.py",) for room in ("inference", "evaluators")},
}
# Tests of another folder that look at a file.
ELSEWHERE = {
    "sde_vae/inference/bound.py": ("tests/evaluators/test_elbo_vs_steps.py", "tests/evaluators/test_multi_sample.py"),
    **{
        f"sde_vae/inference/{name}.py": tests
        for name, tests in {
            "aggregate_posterior": ("tests/methods/test_latent_prior.py", "tests/evaluators/test_multi_sample.py"),
            "compiled": ("tests/test_devices.py",),
            "diffusion_prior": ("tests/pretrained/test_pretrained.py",),
            "restoration": ("tests/commands/test_restore.py", "tests/test_keys.py"),
            "units": ("tests/test_run.py",),
            "user_images": ("tests/test_run.py",),
        }.items()
    },
    **{
        f"sde_vae/evaluators/{name}.py": ("tests/test_arrays_run.py",)
        for name in ("array_reconstruction", "moments", "nll_bound", "sliced_wasserstein")
    },
    "sde_vae/evaluators/iterated_decoding.py": ("tests/evaluators/test_elbo_vs_steps.py",),
    "sde_vae/evaluators/labels.py": ("tests/test_labels_run.py",),
    "sde_vae/evaluators/restoration.py": ("tests/test_conditional_run.py", "tests/test_pairs_run.py"),
    "sde_vae/evaluators/samples.py": ("tests/test_keys.py", "tests/test_run.py"),
    "sde_vae/nets/layers.py": ("tests/nets/test_twins.py", "tests/nets/test_norm.py"),
    "sde_vae/nets/pixels.py": ("tests/nets/test_norm.py",),
    "sde_vae/diffusion/losses.py": (
        "tests/diffusion/test_losses.py",
        "tests/diffusion/test_weights.py",
        "tests/methods/test_conditional.py",
    ),
}
# They train for many seconds, too long for every mutant: what only they see counts as not seen.
LEFT_OUT = ("test_mixture.py",)
# Mutants that survived when they were reported: a file, text that occurs once in it, what stands there instead, the test that was written then.
LIFTED, STATE = "methods/test_lifted.py", "training/test_train_state.py"
NAMED = (
    ("sde_vae/inference/bound.py", "terms(sde, q, model", "terms(sde, None, model", "inference/test_bound.py"),
    ("sde_vae/evaluators/importance.py", "path + latent_log_weight(q, z)", "path", "evaluators/test_importance.py"),
    ("sde_vae/nets/layers.py", "/ math.sqrt(c)", "", "nets/test_twins.py"),
    ("sde_vae/nets/layers.py", "return x + Dense(c", "return Dense(c", "nets/test_twins.py"),
    ("sde_vae/nets/layers.py", "x / (1 - self.rate)", "x", "nets/test_nets.py"),
    ("sde_vae/methods/posteriors.py", "z, network_log_snr(sde, t))", "z, network_log_snr(sde, 0 * t))", LIFTED),
    ("sde_vae/methods/posteriors.py", '["encoder"], frozen, x, t,', '["encoder"], frozen, x, 0 * t,', LIFTED),
    ("sde_vae/methods/posteriors.py", '"], z, network', '"], jax.lax.stop_gradient(z), network', LIFTED),
    ("sde_vae/training/train_state.py", "(10.0 + state.step)", "(5.0 + state.step)", STATE),
    ("sde_vae/training/train_state.py", "e + (1 - decay) * (p - e)", "e + decay * (p - e)", STATE),
)
SEED = 21
LIMIT = 100  # seconds of the processor
# What a fork finds imported. Nothing of sde_vae: it must be the mutated one, and the type checks hook its import.
WARM = (
    *("jax", "jax.numpy", "jax.scipy.stats", "flax.linen", "optax", "diffrax", "orbax.checkpoint", "jaxtyping"),
    *("numpy", "scipy.stats", "scipy.integrate", "pytest", "beartype", "matplotlib.pyplot", "PIL.Image", "torch"),
)
Place = tuple[str, str, Mutant]  # room, path, mutant
KILLED, BY_TIME, SURVIVED, UNTRIED = "killed", "killed by time", "survived", "untried"


def main() -> int:
    parser = parser_of("benchmarks.faults.mutants", __doc__)
    parser.add_argument("--before", default="HEAD~1", help="the revision whose tests are the first")
    parser.add_argument("--per-file", type=int, default=4)
    parser.add_argument("--most", type=int, help="of the drawn ones so many in all, as many of each room")
    parser.add_argument("--only", nargs="*", default=[], help="rooms; nothing is recorded then")
    parser.add_argument("--verdicts", type=Path, default=Path("/tmp/mutants.json"), help="the file of verdicts so far")
    parser.add_argument(
        "--suites", nargs="+", default=["before", "after"], help="after: of what has a verdict of before"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as programs:
        warm(programs)
        walk(options)
    return 0


def walk(options: argparse.Namespace) -> None:
    """Try the mutants that the options name, and report."""
    kept = options.verdicts
    verdicts = json.loads(kept.read_text()) if kept.exists() else {}
    chosen = [of for of in sample(options.per_file) if not options.only or of[0] in options.only]
    chosen = chosen if options.most is None else spread(chosen, options.most)
    for suite in options.suites:
        try_all(suite, options.before if suite == "before" else None, chosen, verdicts, kept)
    if not options.only:
        report(verdicts)


def try_all(
    suite: str, revision: str | None, chosen: list[Place], verdicts: dict[str, dict[str, str]], kept: Path
) -> None:
    """Add the verdicts of the tests of a revision to `verdicts`, and to the file `kept` one by one."""
    copy = copied(revision)
    # The compiled modules of the copy are kept: of a mutant's run only its own is compiled again.
    everything = ["--collect-only", *(f"tests/{room}" for room in ROOMS)]
    if verdict(copy, everything, keep=True) != SURVIVED:
        sys.exit("the tests of the unchanged code cannot be collected")
    for room, path, mutant in chosen:
        name = f"{path}:{mutant.line}:{mutant.start} {mutant.operator}: {mutant.before} -> {mutant.after}"
        known = verdicts.setdefault(name, {"room": room})
        # A test that killed it is still there. Those of NAMED survived before.
        killed_before = suite == "after" and known.get("before", SURVIVED) != SURVIVED
        if suite in known or (suite == "before") == (room == "named" or "before" in known):
            continue
        if reason(name):
            # What is equivalent is not run.
            known[suite] = SURVIVED
            continue
        began = time.monotonic()
        found = known["before"] if killed_before else tried(copy, path, mutant)
        if found == UNTRIED:
            print(f"{suite:6} {UNTRIED:14} its tests take {LIMIT} s of the unchanged code: {path}", flush=True)
            continue
        known[suite] = found
        write_text(kept, json.dumps(verdicts, indent=1))
        took = time.monotonic() - began
        print(f"{suite:6} {known[suite]:14} {took:5.1f} s  {' '.join(name.split())[:150]}", flush=True)
    shutil.rmtree(copy)


def warm(programs: str) -> None:
    """Import what every run needs, with JAX's backend not started: a fork of a started one hangs."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    # Most programs of a mutant are those of the one before.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = programs
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    for name in WARM:
        importlib.import_module(name)


def sample(per_file: int) -> list[Place]:
    """Return (room, path, mutant): up to `per_file` of each file by a seeded draw, and those of NAMED."""
    found = []
    for room, patterns in ROOMS.items():
        for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            every = list(mutants_of(path))
            # The sample of fewer a file is a part of it.
            random.Random(f"{SEED} {name}").shuffle(every)
            found += [(i, (room, name, mutant)) for i, mutant in enumerate(every[:per_file])]
    # One of each file, then a second of each: a run that is stopped has tried all files alike.
    return named() + [of for _, of in sorted(found, key=lambda of: of[0])]


@cache
def mutants_of(path: Path) -> tuple[Mutant, ...]:
    """Return all mutants of a file."""
    return tuple(mutants(path.read_text()))


def spread(chosen: list[Place], most: int) -> list[Place]:
    """Return `most` of the drawn mutants, one of each room in turn by a seeded draw, and those of NAMED: fewer are a part of more."""
    drawn = []
    for room in ROOMS:
        of_room = [of for of in chosen if of[0] == room]
        random.Random(f"{SEED} {room}").shuffle(of_room)
        drawn += list(enumerate(of_room))
    return [of for of in chosen if of[0] == "named"] + [of for _, of in sorted(drawn, key=lambda of: of[0])[:most]]


def named() -> list[Place]:
    """Return (room, path, mutant) of NAMED."""
    found = []
    for path, before, after, _ in NAMED:
        source = (ROOT / path).read_text()
        [start] = [place.start() for place in re.finditer(re.escape(before), source)]
        line = source[:start].count("\n") + 1
        found.append(("named", path, Mutant(line, start, start + len(before), "named", before, after)))
    return found


def copied(revision: str | None) -> Path:
    """Return a copy of the package and its tests; with a revision the tests are those of then."""
    copy = Path(os.environ.get("TMPDIR", "/tmp")) / f"mutants-{os.getpid()}"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "runs", "results", "__pycache__"))
    if revision:
        shutil.rmtree(copy / "tests")
        archive = subprocess.run(["git", "archive", revision, "tests"], cwd=ROOT, check=True, capture_output=True)
        subprocess.run(["tar", "x"], input=archive.stdout, cwd=copy, check=True)
    return copy


def tried(copy: Path, path: str, mutant: Mutant) -> str:
    """Return the verdict of the room's tests on the mutant; UNTRIED if they take as long on the unchanged code."""
    written = [f"tests/{test}" for _, before, after, test in NAMED if mutant[3:] == ("named", before, after)]
    tests = written or [path, *looking_at(copy, path)]
    (copy / path).write_text(mutant.applied((ROOT / path).read_text()))
    try:
        found = verdict(copy, tests)
    finally:
        # With its date, by which its compiled form is known.
        shutil.copy2(ROOT / path, copy / path)
    return UNTRIED if found == BY_TIME and verdict(copy, tests) == BY_TIME else found


def looking_at(copy: Path, path: str) -> list[str]:
    """Return the tests that look at a file: those of its name, then the shortest first."""
    module = path.removesuffix(".py").replace("/", ".")
    package, _, name = module.rpartition(".")
    imported = re.compile(rf"from {re.escape(module)} import|from {re.escape(package)} import [^\n]*\b{name}\b")
    folder = copy / Path("tests", *Path(path).parts[1:-1])
    there = [test for test in folder.glob("test_*.py") if test.name not in LEFT_OUT]
    elsewhere = [copy / test for test in ELSEWHERE.get(path, ()) if (copy / test).exists()]
    tests = {*elsewhere, *(test for test in there if imported.search(test.read_text()))} or there
    order = lambda test: (test.stem != f"test_{name}", test.stat().st_size, test.name)
    return [str(test.relative_to(copy)) for test in sorted(tests, key=order)]


def verdict(copy: Path, tests: list[str], keep: bool = False) -> str:
    """Return the verdict of these tests on the code of `copy`; with `keep` its compiled modules are kept."""
    pid = os.fork()
    if pid == 0:
        sys.dont_write_bytecode = not keep
        _run(copy, tests)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        return BY_TIME
    return SURVIVED if code == 0 else KILLED


def _run(copy: Path, tests: list[str]) -> None:
    """In a fork: run the tests, and exit with pytest's code."""
    code = 1
    try:
        # Of the processor's time, which other programs do not change.
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 5))
        os.chdir(copy)
        # Of the benchmarks, too, those of the copy.
        for name in [name for name in sys.modules if name.split(".")[0] in ("sde_vae", "benchmarks", "tests")]:
            del sys.modules[name]
        sys.path[:] = [str(copy), *(p for p in sys.path if Path(p or ".").resolve() != ROOT)]
        out = os.open(os.devnull, os.O_WRONLY)
        os.dup2(out, 1)
        os.dup2(out, 2)
        pytest = importlib.import_module("pytest")
        # That plugins were imported before is meant.
        quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider"]
        code = int(pytest.main(["-x", "-q", "-n", "0", *quiet, *tests]))
    finally:
        os._exit(code)


def report(verdicts: dict[str, dict[str, str]]) -> None:
    """Write the section of the page: a row a room."""
    from benchmarks.faults.record import record_section

    rooms: dict[str, Counter] = {room: Counter() for room in (*ROOMS, "named")}
    left: list[dict[str, str]] = []
    for name, known in verdicts.items():
        if "after" not in known:
            continue
        counts, same = rooms[known["room"]], reason(name) if known["after"] == SURVIVED else ""
        counts["mutants"] += 1
        counts["equivalent"] += bool(same)
        for suite in ("before", "after"):
            counts[suite] += known.get(suite, SURVIVED) != SURVIVED
            counts[f"{suite} by time"] += known.get(suite) == BY_TIME
        if known["after"] == SURVIVED:
            left.append({"mutant": " ".join(name.split())} | ({"equivalent because": same} if same else {}))
    drawn = sum((counts for room, counts in rooms.items() if room != "named"), Counter())
    whole = {**rooms, "all but the named": drawn}

    available = len([of for of in sample(10**6) if of[0] != "named"])

    def row(room: str, c: Counter) -> list[str]:
        real = c["mutants"] - c["equivalent"]
        scores = [f"{100 * c[suite] / real:.0f} %" if real else "-" for suite in ("before", "after")]
        columns = ("mutants", "equivalent", "before", "after")
        return [room, *(str(c[column]) for column in columns), *scores]

    record_section(
        "mutants",
        "Wrong code that the tests must see",
        ["room", "mutants", "equivalent", "killed before", "killed now", "score before", "score now"],
        [row(room, counts) for room, counts in whole.items()],
        f"Of {available} small changes of these files those that were tried, drawn file by file with seed {SEED}, against the tests of its room and its own examples. A score leaves "
        f"the equivalent ones out, which change nothing that is promised; the JSON file says why, one by one. Killed by {LIMIT} s of time among "
        f"them: {drawn['after by time']}. The named ones survived when they were reported, and are tried against the test written for each.",
        {"survivors": left, "rooms": {room: dict(counts) for room, counts in whole.items()}},
    )


if __name__ == "__main__":
    sys.exit(main())
