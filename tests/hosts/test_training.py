"""Two processes train as one: the same numbers, one checkpoint, one end.

They are real processes, which meet on this machine and share sums by gloo. What one process with two devices trains is the reference.
"""

import json
import re

import pytest

from sde_vae.training.logs import read
from tests.helpers.processes import STEPS, alone, two

PMAP, DATA, FSDP = ("pmap", "score_vae"), ("data", "prior"), ("fsdp", "prior")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run of one process with two devices. Its prior is that of the other modes too."""
    folder = tmp_path_factory.mktemp("whole")
    [(code, _, err)] = alone([(*PMAP, str(folder))], devices=2)
    assert code == 0, err
    return folder


def checksums(run, stage, step=STEPS):
    """Name -> checksum of every array of a checkpoint, the optimiser's too."""
    meta = json.loads((run / stage / "checkpoints" / str(step) / "meta" / "metadata").read_bytes())
    return {name: leaf["crc32"] for name, leaf in meta["leaves"].items()}


def losses(run, stage):
    return [(row["step"], row["loss"]) for row in read(run / stage / "metrics.jsonl")]


def assert_same(run, whole, stage):
    """Bit for bit, the optimiser too."""
    assert checksums(run, stage) == checksums(whole, stage)
    assert losses(run, stage) == losses(whole, stage)
    assert len(losses(run, stage)) == STEPS


def test_killed_and_started_again_two_processes_end_as_one(whole, tmp_path):
    """In the second stage, on the prior that they have trained."""
    runs = [(*PMAP, str(tmp_path))]
    survivor, killed = two(runs, at=(None, (STEPS + 5, "kill")))
    assert killed[0] == -9
    assert survivor[0] == 1
    said = survivor[2].splitlines()[-1]
    assert re.search(r"error: .* has ended.*; start all processes again: they go on from the newest", said), survivor[2]
    assert not (tmp_path / "encoder" / "checkpoints" / str(STEPS)).exists()

    (code, out, err), (other, silent, _) = two(runs)
    assert (code, other) == (0, 0), err
    assert "2 x cpu of 2 processes" in out
    assert "sde_vae" not in silent
    assert "finished" not in silent
    for stage in ("prior", "encoder"):
        assert_same(tmp_path, whole, stage)
    assert len(json.loads((tmp_path / "config.json").read_text())["devices"]) == 2


@pytest.mark.slow
def test_a_signal_to_one_stops_both_and_one_device_goes_on(whole, tmp_path):
    runs = [(*FSDP, str(tmp_path))]
    (code, out, err), (other, _, heard) = two(runs, at=(None, (2, "term")))
    assert (code, other) == (0, 0), err + heard
    assert "prior: stopped by a signal to another process, the state is saved" in out
    assert "SIGTERM: stopping after this step" in heard
    stopped = max(int(path.name) for path in (tmp_path / "prior" / "checkpoints").iterdir())
    assert 2 < stopped < STEPS
    assert checksums(tmp_path, "prior", stopped).keys() == checksums(whole, "prior").keys()

    [(code, _, err)] = alone(runs)
    assert code == 0, err
    # Another number of devices adds in another order.
    for (step, ours), (_, theirs) in zip(losses(tmp_path, "prior"), losses(whole, "prior"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5), step


@pytest.mark.slow
def test_the_other_modes_end_as_one_process_does_too(whole, tmp_path):
    (code, _, err), (other, _, _) = two([(*how, str(tmp_path / how[0])) for how in (DATA, FSDP)])
    assert (code, other) == (0, 0), err
    for mode in ("data", "fsdp"):
        assert_same(tmp_path / mode, whole, "prior")


@pytest.mark.slow
def test_a_failure_of_one_ends_both_with_its_reason(tmp_path):
    first, failed = two([(*DATA, str(tmp_path))], at=(None, (3, "fail")))
    assert failed[0] == 1
    assert "KeyError: 'a failure of one process'" in failed[2]
    assert first[0] == 1
    assert "error: process 1: KeyError: 'a failure of one process'" in first[2]
