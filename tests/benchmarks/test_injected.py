"""A dozen of the faults of benchmarks/faults/injected.py; the whole of them is its own command."""

import pytest

from benchmarks.faults import bench, disk_faults, file_faults, process_faults

KINDS = (
    file_faults.of_config_and_stages,
    file_faults.of_training,
    process_faults.several,
    disk_faults.faults,
)
NAMES = (
    "config.json is a list",
    "config.json is not UTF-8",
    "config.json deleted, another learning rate",
    "config.json says another sde.beta_max",
    "config.json says another seed",
    "more steps of the prior",
    "arrays of a checkpoint flipped",
    "description of a checkpoint flipped at 0.3",
    "synthetic/images.npy flipped",
    "a lock of another host, 5 seconds old",
    "train: the place is a file",
    "train: the place cannot be made",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was never disturbed; none of these faults needs its evaluation."""
    folder = tmp_path_factory.mktemp("faults") / "whole"
    outcome = bench.command("train", folder)
    assert outcome.code == 0, outcome.err
    return folder


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_run_survives(whole, name):
    (fault,) = [run for kind in KINDS for known, run in kind(whole) if known == name]
    assert fault(whole, whole.with_name("copy")) == ""
