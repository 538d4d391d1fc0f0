"""What signals do: the first asks, the second leaves, and neither raises where compiled code could meet it."""

import os
import signal
import subprocess
import sys

import pytest

from sde_vae.training.signals import SIGNALS, Stopped, StopRequest

# libc's sleep: the interpreter is not asked until it returns, as within a compilation.
DEAF = """
import ctypes, sys
from sde_vae.training.signals import StopRequest, leaving
context = StopRequest() if sys.argv[1] == "asked" else leaving("left; the rest is kept")
with context:
    print("ready", flush=True)
    ctypes.CDLL(None).sleep.restype = None
    for _ in range(9):
        ctypes.CDLL(None).sleep(30)
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_and_the_old_handlers_come_back(number):
    before = [signal.getsignal(n) for n in SIGNALS]
    with StopRequest() as stop:
        stop.check()
        os.kill(os.getpid(), number)
        assert (stop.requested, stop.name) == (True, number.name)
        with pytest.raises(Stopped):
            stop.check()
    assert [signal.getsignal(n) for n in SIGNALS] == before


@pytest.mark.parametrize(("how", "signals"), [("left", 1), ("asked", 2)])
@pytest.mark.parametrize("number", SIGNALS)
def test_leaving_is_at_once_and_one_line(how, signals, number):
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    for i in range(signals):
        if i:
            # The first has been heard.
            process.stderr.readline()
            assert "once more leaves at once" in process.stderr.readline()
        process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert err.strip().startswith(f"{number.name}: left")
    assert len(err.strip().splitlines()) == 1
