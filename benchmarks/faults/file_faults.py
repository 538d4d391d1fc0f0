"""Files that are cut, flipped, deleted, duplicated or of another kind: of training, of an evaluation, and of the config."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.faults import bench

Fault = tuple[str, Callable[[Path, Path], str]]
Damage = Callable[[Path], None]
LAST = str(bench.STEPS)
# What is JSON, or looks like it, and is not what the file should hold.
OTHERS = {
    "a list": b"[1, 2]",
    "null": b"null",
    "a number": b"7",
    "a string": b'"x"',
    "no key": b"{}",
    "not UTF-8": b'{"a": "\xff"}',
}


def cut(path: Path) -> None:
    """Keep the first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path, part: float = 0.5) -> None:
    """Flip a bit."""
    raw = bytearray(path.read_bytes())
    raw[int(part * (len(raw) - 1))] ^= 4
    path.write_bytes(bytes(raw))


def delete(path: Path) -> None:
    """Delete a file or a folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def becomes(content: bytes, path: Path) -> None:
    """Replace the content."""
    path.write_bytes(content)


DAMAGES: dict[str, Damage] = {"cut": cut, "flipped": flip, "deleted": delete, "empty": partial(becomes, b"")}


def of_training(whole: Path) -> Iterator[Fault]:
    """Checkpoints, logs and synthetic images; then training goes on."""
    for name, damage in DAMAGES.items():
        yield f"arrays of a checkpoint {name}", partial(_damaged, "train", _arrays, damage, True)
    for name, damage in (DAMAGES | {f"is {k}": partial(becomes, v) for k, v in OTHERS.items()}).items():
        yield (
            f"description of a checkpoint {name}",
            partial(_damaged, "train", _one(f"encoder/checkpoints/{LAST}/meta/metadata"), damage, True),
        )
    for part in (0.1, 0.3, 0.7, 0.9):
        yield (
            f"description of a checkpoint flipped at {part}",
            partial(
                _damaged, "train", _one(f"encoder/checkpoints/{LAST}/meta/metadata"), partial(flip, part=part), True
            ),
        )
    yield (
        "step of a checkpoint deleted",
        partial(_damaged, "train", _one(f"encoder/checkpoints/{LAST}/step"), delete, True),
    )
    for name in ("synthetic/images.npy", "synthetic/key.json"):
        for how, damage in DAMAGES.items():
            # What has trained on images that are lost would go on with others.
            yield f"{name} {how}", partial(_damaged, "train", _one(name), damage, False, without=("encoder",))
    for how, damage in {
        "a line in the middle": _spoil_line,
        **{k: partial(_spoil_line, content=v) for k, v in OTHERS.items()},
    }.items():
        yield f"metrics.jsonl: {how}", partial(log_line, damage)


def of_evaluation(whole: Path) -> Iterator[Fault]:
    """Pieces of an unfinished evaluation, results of finished ones, and their pictures; then the evaluation goes on."""
    for name, damage in (DAMAGES | {"is a list": partial(becomes, b"[1]")}).items():
        yield f"a piece {name}", partial(piece, damage)
        yield f"key of the pieces {name}", partial(piece_key, damage)
        for file in ("result.json", "reconstructions.png"):
            path = f"eval/evaluators/reconstruction/{file}"
            yield f"{file} of an evaluator {name}", partial(_damaged, "eval", _one(path), damage, True)
    for file in ("reconstructions.png", "curves.png", "report.html", "metrics.json", "evaluators/samples"):
        yield f"{file} deleted", partial(_damaged, "eval", _one(f"eval/{file}"), delete, False)
    for name, content in OTHERS.items():
        yield (
            f"metrics.json is {name}",
            partial(_damaged, "eval", _one("eval/metrics.json"), partial(becomes, content), False),
        )
        yield (
            f"result.json is {name}",
            partial(_damaged, "eval", _one("eval/evaluators/samples/result.json"), partial(becomes, content), True),
        )


def of_config_and_stages(whole: Path) -> Iterator[Fault]:
    """config.json, stages that change below others, and checkpoints that were copied."""
    for name, content in OTHERS.items():
        yield f"config.json is {name}", partial(config_is, content)
    yield "config.json deleted, another learning rate", partial(config_gone, True)
    yield "config.json deleted, the same config", partial(config_gone, False)
    for field, value in (
        ("sde.beta_max", 5.0),
        ("model.latent_dim", 3),
        ("seed", 1),
        ("stages.encoder.learning_rate", 0.5),
    ):
        yield f"config.json says another {field}", partial(tampered, field, value)
    yield "more steps of the prior", more_prior
    yield "more steps of the prior, retrain", partial(retrained, {"stages__prior__steps": 6})
    yield "another prior behind a trained encoder, eval", another_prior
    yield "another prior behind a trained encoder, train", partial(another_prior, mode="train")
    yield "a checkpoint copied to a later step", partial(copied, "9")
    yield "a checkpoint copied over another", partial(copied, LAST)
    yield "the encoder of another run", another_encoder


def _one(name: str) -> Callable[[Path], list[Path]]:
    return lambda workdir: [workdir / name]


def _arrays(workdir: Path) -> list[Path]:
    files = (workdir / "encoder" / "checkpoints" / LAST).rglob("*")
    return [p for p in files if p.is_file() and p.parent.name == "d" and "meta" not in p.parts]


def _damaged(
    mode: str,
    which: Callable[[Path], list[Path]],
    damage: Damage,
    says: bool,
    whole: Path,
    to: Path,
    without: tuple[str, ...] = (),
) -> str:
    bench.copy(whole, to, without)
    for path in which(to):
        damage(path)
    return _after(mode, whole, to, says)


def _after(mode: str, whole: Path, to: Path, says: bool) -> str:
    outcome = bench.command(mode, to)
    if outcome.refused:
        return ""
    if outcome.code:
        return f"exit code {outcome.code}: {outcome.err[-300:]}"
    silent = [] if outcome.said or not says else ["nothing was said"]
    return ", ".join([*silent, *bench.differences(to, whole, mode == "eval")])


def _spoil_line(path: Path, content: bytes = b'{"step": 2, "lo') -> None:
    lines = path.read_bytes().split(b"\n")
    lines[1] = content
    path.write_bytes(b"\n".join(lines))


def log_line(damage: Damage, whole: Path, to: Path) -> str:
    """Good rows are kept, and the line is named."""
    bench.copy(whole, to, ("eval",))
    damage(to / "prior" / "metrics.jsonl")
    outcome = bench.command("eval", to)
    rows = [row["step"] for row in bench.logged(to, "prior")]
    if rows != [1, 3, 4] or "1 of 4 lines are damaged and left out: 2" not in outcome.err or outcome.code:
        return f"rows {rows}, exit code {outcome.code}: {outcome.err[-300:]}"
    return ""


def _unfinished(whole: Path, to: Path) -> Path:
    """An evaluation that was killed within its second evaluator: the pieces of the first are there."""
    kept = whole.with_name("unfinished")
    if not kept.exists():
        bench.copy(whole, kept, ("eval",))
        process = bench.start("main.py", *bench.words("eval", kept))
        while process.poll() is None and not list(kept.glob("eval/.resume/reconstruct*/*.npz")):
            time.sleep(0.02)
        bench.stop(process)
    return bench.copy(kept, to)


def piece(damage: Damage, whole: Path, to: Path) -> str:
    """A damaged piece is made again, and that is said."""
    _unfinished(whole, to)
    path = sorted((to / "eval" / ".resume").glob("reconstruct*/*.npz"))[0]
    damage(path)
    return _after("eval", whole, to, damage is not delete)


def piece_key(damage: Damage, whole: Path, to: Path) -> str:
    """Pieces that belong to nobody are made again."""
    _unfinished(whole, to)
    damage(to / "eval" / ".resume" / "key.json")
    return _after("eval", whole, to, False)


def config_is(content: bytes, whole: Path, to: Path) -> str:
    """Both commands refuse a config.json that is none."""
    bench.copy(whole, to)
    (to / "config.json").write_bytes(content)
    outcomes = [bench.command("train", to), bench.main(["--mode", "sample", "--workdir", str(to), "--n", "1"])]
    return _refused(*outcomes)


def config_gone(other: bool, whole: Path, to: Path) -> str:
    """The checkpoints remember the config."""
    bench.copy(whole, to, ("eval",))
    (to / "config.json").unlink()
    if other:
        return _refused(bench.command("train", to, stages__prior__learning_rate=0.5))
    return _after("train", whole, to, False)


def tampered(field: str, value: object, whole: Path, to: Path) -> str:
    """The checkpoints remember the config."""
    bench.copy(whole, to)
    path = to / "config.json"
    found = json.loads(path.read_text())
    section = found["config"]
    *sections, last = field.split(".")
    for name in sections:
        section = section[name]
    section[last] = value
    path.write_text(json.dumps(found))
    return _refused(bench.main(["--mode", "eval", "--workdir", str(to)]), bench.command("train", to))


def more_prior(whole: Path, to: Path) -> str:
    """Refused before the prior goes on."""
    bench.copy(whole, to, ("eval",))
    wrong = _refused(bench.command("train", to, stages__prior__steps=6))
    return wrong or ", ".join(bench.differences(to, whole, False))


def retrained(changes: dict[str, object], whole: Path, to: Path) -> str:
    """As asked for, the encoder is trained again: as in a run of one go."""
    fresh = whole.with_name("longer")
    for folder in (fresh, to):
        bench.copy(whole, folder, ("eval", "encoder", "synthetic") if folder == fresh else ("eval",))
        outcome = bench.command("train", folder, retrain=True, **changes)
        if outcome.code:
            return outcome.err[-300:]
    if not (to / "encoder.before").is_dir():
        return "the old encoder is gone"
    return ", ".join(bench.differences(to, fresh, False))


def another_prior(whole: Path, to: Path, mode: str = "eval") -> str:
    """A prior of the same shape and step is in the place of the encoder's own."""
    other = _other(whole)
    bench.copy(whole, to, ("eval", "prior"))
    shutil.copytree(other / "prior", to / "prior")
    return _refused(bench.command(mode, to))


def copied(step: str, whole: Path, to: Path) -> str:
    """An older checkpoint under another name is skipped."""
    bench.copy(whole, to)
    folder = to / "encoder" / "checkpoints"
    shutil.rmtree(folder / step, ignore_errors=True)
    shutil.copytree(folder / "2", folder / step)
    wrong = _after("train", whole, to, True)
    return wrong or _after("eval", whole, to, False)


def another_encoder(whole: Path, to: Path) -> str:
    """The checkpoint of another seed is not this run's."""
    bench.copy(whole, to, ("eval", "encoder"))
    shutil.copytree(_other(whole) / "encoder", to / "encoder")
    return _refused(bench.command("eval", to), bench.command("train", to))


def _other(whole: Path) -> Path:
    """A run of another seed."""
    other = whole.with_name("other")
    if not other.exists() and bench.command("train", other, seed=1).code:
        raise RuntimeError("the other run failed")
    return other


def _refused(*outcomes: bench.Outcome) -> str:
    wrong = [f"exit code {o.code}: {o.err[-300:]}" for o in outcomes if not o.refused or o.code != 2]
    return "; ".join(wrong)
