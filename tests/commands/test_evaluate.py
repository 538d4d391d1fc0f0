"""An evaluation that is stopped anywhere is whole after the next one; damaged results are a line, and evaluated again."""

import json

import pytest

import sde_vae
from sde_vae.commands import evaluate
from sde_vae.commands.evaluate import METRICS, RESULTS, accumulate, finish, kept
from sde_vae.data.dataset import Dataset
from sde_vae.evaluators.context import EvalContext, MetricNetworks
from sde_vae.files import write_checked
from sde_vae.inference.resume_cache import ResumeCache


class Stopped(BaseException):
    """As a signal stops: it passes through what catches errors."""


# Names of pictures that a report shows.
SHOWN = {"a": ("worst", "trajectory"), "b": ("samples", "neighbours")}
PICTURES = {f"{name}.png": f"the picture {name}".encode() for names in SHOWN.values() for name in names}
FOUND = {"a/l2": 1.5, "b/l2": 1.5}


def evaluator(context, name):
    """One that has a metric and two pictures."""
    context.figures.mkdir(parents=True, exist_ok=True)
    for shown in SHOWN[name]:
        (context.figures / f"{shown}.png").write_bytes(PICTURES[f"{shown}.png"])
    yield f"{name}/l2", 1.5


EVALUATORS = {name: lambda context, name=name: evaluator(context, name) for name in SHOWN}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The packaged run, whose results go to this folder, and whose data are not read."""
    monkeypatch.chdir(tmp_path)
    found = sde_vae.load("digits")
    found.experiment = found.experiment._replace(load=lambda: Dataset("none", {}))
    monkeypatch.setattr(evaluate, "describe_run", lambda run: {})
    return found


def evaluation(run, out):
    """accumulate and finish, as an evaluation calls them."""
    nothing = EvalContext(**dict.fromkeys(EvalContext._fields))
    context = nothing._replace(cache=ResumeCache(out / ".resume", {}), networks=MetricNetworks({}, None, {}, out))
    found = accumulate(EVALUATORS, context, out)
    finish(run, context, out, found)
    return found


def stop_at(monkeypatch, n):
    """The n-th call from now on that writes or moves something in an evaluation raises Stopped, before it or when it is done."""
    calls = []

    def counted(real):
        def call(*args, **kwargs):
            calls.append(real)
            if len(calls) == n:
                raise Stopped
            return real(*args, **kwargs)

        return call

    for name in ("write_bytes", "write_checked", "write_report"):
        monkeypatch.setattr(evaluate, name, counted(getattr(evaluate, name)))
    monkeypatch.setattr(evaluate.Path, "rename", counted(evaluate.Path.rename))
    return calls


def test_an_evaluation_that_is_stopped_anywhere_loses_no_picture(run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        calls = stop_at(patch, 0)
        assert evaluation(run, tmp_path / "whole") == FOUND
    # Of two evaluators a file and a move each, four pictures, and the report.
    assert len(calls) == 9
    for n in range(1, 10):
        out = tmp_path / str(n)
        with monkeypatch.context() as patch:
            stop_at(patch, n)
            with pytest.raises(Stopped):
                evaluation(run, out)
        assert evaluation(run, out) == FOUND
        assert {path.name: path.read_bytes() for path in out.glob("*.png")} == PICTURES
        assert (out / "report.html").read_text().count('src="data:image/png;base64,') == 4


def nested(folder):
    (folder / METRICS).write_text("[" * 100_000)


def without_keys(folder):
    write_checked(folder / METRICS, [1])


def flipped(folder):
    path = folder / METRICS
    path.write_text(path.read_text().replace("1.5", "2.5"))


DAMAGES = {
    "empty": lambda folder: (folder / METRICS).write_bytes(b""),
    "not UTF-8": lambda folder: (folder / METRICS).write_bytes(b"\xff\xfe{}"),
    "a list": lambda folder: (folder / METRICS).write_text("[1]"),
    "another number": flipped,
    "nested": nested,
    "without its keys": without_keys,
    "no file": lambda folder: (folder / METRICS).unlink(),
    "a picture cut": lambda folder: (folder / "worst.png").write_bytes(b"pict"),
    "a picture gone": lambda folder: (folder / "worst.png").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_results_are_a_line_and_are_made_again(run, tmp_path, damage):
    out = tmp_path / "eval"
    evaluation(run, out)
    DAMAGES[damage](out / RESULTS / "a")
    with pytest.warns(UserWarning, match=rf"^{out / RESULTS / 'a'}: damaged \(.*\); to be evaluated again$"):
        assert kept(out / RESULTS, "a") is None
    assert kept(out / RESULTS, "b") == {"b/l2": 1.5}
    assert not (out / RESULTS / "a").exists()
    assert evaluation(run, out) == FOUND
    assert {path.name: path.read_bytes() for path in out.glob("*.png")} == PICTURES


@pytest.mark.parametrize("text", [b"[1]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_damaged_results_of_version_0_1_are_a_line(tmp_path, text):
    (tmp_path / "a.json").write_bytes(json.dumps({"a/l2": 1.5}).encode())
    assert kept(tmp_path, "a") == {"a/l2": 1.5}
    (tmp_path / "a.json").write_bytes(text)
    with pytest.warns(UserWarning, match="damaged"):
        assert kept(tmp_path, "a") is None
    assert kept(tmp_path, "a") is None
