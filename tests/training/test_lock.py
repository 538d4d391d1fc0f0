"""One process at a time uses a workdir; a lock that was left is taken over."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time

import pytest

from sde_vae.errors import BadInput
from sde_vae.training.lock import OWNER, SILENT, locked

HOLDS = """
import sys, time
from pathlib import Path
from sde_vae.training.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_by_name_and_a_killed_ones_lock_is_taken_over(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    expected = (
        rf"{tmp_path} is in use by process {process.pid} on {socket.gethostname()} since \d{{4}}-.* UTC; wait until"
    )
    with pytest.raises(BadInput, match=expected), locked(tmp_path):
        pytest.fail("two at once")
    process.kill()
    process.communicate()
    assert (tmp_path / OWNER).exists()
    with locked(tmp_path):
        assert json.loads((tmp_path / OWNER).read_text())["pid"] == os.getpid()
    assert not (tmp_path / OWNER).exists()


def test_two_threads_or_calls_of_one_process_are_two(tmp_path):
    with locked(tmp_path), pytest.raises(BadInput, match="in use by process"), locked(tmp_path):
        pytest.fail("two at once")


@pytest.mark.parametrize(("age", "refused"), [(5, True), (SILENT + 60, False)])
def test_where_locks_do_not_reach_another_host_its_sign_of_life_does(tmp_path, age, refused):
    (tmp_path / OWNER).write_text(json.dumps({"pid": 7, "host": "elsewhere", "since": "noon"}))
    os.utime(tmp_path / OWNER, (time.time() - age,) * 2)
    expected = pytest.raises(BadInput, match=r"process 7 on elsewhere since noon; .* try again in 11\d seconds")
    with expected if refused else contextlib.nullcontext(), locked(tmp_path):
        assert not refused


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b'{"pid": 1}'])
def test_an_owner_that_cannot_be_read_owns_nothing(tmp_path, content):
    (tmp_path / OWNER).write_bytes(content)
    os.utime(tmp_path / OWNER, (0, 0))
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        refused = pytest.raises(BadInput, match=r"--workdir: .* cannot be written \(.*\); give a folder that can")
        with refused, locked(place):
            pytest.fail("went on")
