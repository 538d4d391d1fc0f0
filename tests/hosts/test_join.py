"""Processes find each other, agree or fail alike, and do not wait for ever."""

import os
import subprocess
import sys

import pytest

from sde_vae.cli import main
from sde_vae.errors import BadInput
from sde_vae.hosts import join
from sde_vae.hosts.cluster import Cluster
from tests.helpers.processes import ROOT, end, free_port

MEETS = """
import sys
import sde_vae
from sde_vae.errors import exit_code
from sde_vae.hosts.join import joined
from sde_vae.hosts.together import agree, first, together

def work():
    with joined(None) as several:
        own = int(sys.argv[1])
        print(several, together("numbers", lambda: own), first("first", lambda: own), flush=True)
        agree("config.seed", own, "give all the same")

sys.exit(exit_code(work))
"""


def start_task(task, number, port):
    """A task of a SLURM step of two on this machine."""
    step = {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_NTASKS": "2", "JAX_COORDINATOR_PORT": port}
    env = os.environ | step | {"SLURM_PROCID": task, "SLURM_LOCALID": "0", "JAX_PLATFORMS": "cpu"}
    args = [sys.executable, "-c", MEETS, str(number)]
    return subprocess.Popen(args, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_tasks_of_slurm_find_each_other_and_refuse_what_differs():
    port = str(free_port())
    found = end([start_task(task, number, port) for task, number in (("0", 5), ("1", 6))])
    assert "True [5, 6] 5" in found[0][1]
    assert "True" not in found[1][1]
    for code, _, err in found:
        assert code == 2, err
        assert "config.seed: it differs, 5 and 6 of process 0 and of process 1; give all the same" in err


def test_a_process_that_waits_for_one_that_never_starts_ends(monkeypatch):
    monkeypatch.setattr(join, "STARTED", 0.5)
    address = f"127.0.0.1:{free_port()}"
    expected = rf"--coordinator: nothing listens at {address} after 0.5 seconds .*; start process 0 too"
    with pytest.raises(BadInput, match=expected), join.joined(Cluster(address, 2, 1)):
        pytest.fail("went on")


@pytest.mark.parametrize("options", [["--coordinator=node0:1234"], ["--num_processes", "2", "--process_id=2"]])
def test_a_part_of_a_cluster_is_bad_input(options, capsys):
    assert main(["--mode", "train", "--config", "scorevae_digits", *options]) == 2
    assert capsys.readouterr().err.startswith("error: --")
