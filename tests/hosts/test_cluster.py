"""Which processes train together: by options, by the cluster that is found, and never half of it."""

import pytest

from sde_vae.errors import BadInput
from sde_vae.hosts.cluster import Cluster, asked_for, detected

SLURM = {
    "SLURM_JOB_ID": "70001",
    "SLURM_STEP_NODELIST": "node[003-004]",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
}
OPEN_MPI = {
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


def test_the_three_options_are_a_cluster_and_none_is_none():
    assert asked_for("node0:1234", "4", "3") == Cluster("node0:1234", 4, 3)
    assert asked_for("[fe80::1]:1234", "2", "0") == Cluster("[fe80::1]:1234", 2, 0)
    assert asked_for(None, None, None) is None
    assert asked_for(None, "1", None).processes == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("node0:1234", None, None),
            r"--num_processes: missing, got --coordinator node0:1234 only; give --coordinator",
        ),
        (("node0:1234", "2", None), r"--process_id: missing, got --coordinator node0:1234, --num_processes 2 only"),
        ((None, "2", "0"), r"--coordinator: missing, got --num_processes 2, --process_id 0 only; give .* HOST:PORT"),
        (("node0:1234", "2", "2"), r"--process_id: got '2', expected a whole number from 0 to 1"),
        (("node0:1234", "two", "0"), r"--num_processes: got 'two', expected a whole number from 1 to 65536"),
        (("node0:1234", "0", "0"), r"--num_processes: got '0', expected"),
        (("node0", "2", "0"), r"--coordinator: got 'node0', expected HOST:PORT of process 0, as in 10.0.0.1:1234"),
        ((":1234", "2", "0"), r"--coordinator: got ':1234', expected HOST:PORT"),
        (("node0:99999", "2", "0"), r"--coordinator: got 'node0:99999', expected HOST:PORT"),
    ],
)
def test_a_part_of_a_cluster_is_refused(options, message):
    with pytest.raises(BadInput, match=message):
        asked_for(*options)


@pytest.fixture
def environment(monkeypatch):
    for name in (*SLURM, *OPEN_MPI, *KUBERNETES, "JOB_COMPLETION_INDEX"):
        monkeypatch.delenv(name, raising=False)
    return lambda values: [monkeypatch.setenv(name, value) for name, value in values.items()]


@pytest.mark.parametrize(
    ("values", "expected"),
    [({}, None), (SLURM, Cluster(None, 2, 1)), (OPEN_MPI, Cluster(None, 4, 3)), (KUBERNETES, None)],
    ids=["none", "slurm", "open mpi", "a pod of no job"],
)
def test_a_cluster_is_found_by_its_environment(values, expected, environment):
    environment(values)
    assert detected() == expected


@pytest.mark.parametrize("changes", [{"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}])
def test_a_job_of_one_process_is_not_joined(changes, environment):
    """It would have one of its GPUs only."""
    environment(SLURM | changes)
    assert detected() is None


def test_a_cluster_that_does_not_say_who_belongs_to_it_is_refused(environment):
    environment(SLURM | {"SLURM_NTASKS": "many"})
    with pytest.raises(BadInput, match=r"--num_processes: slurm does not say how many .*; give --coordinator"):
        detected()
