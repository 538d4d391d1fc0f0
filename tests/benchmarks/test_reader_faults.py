"""Files made to harm, and spoilt ones: each is read or refused in short time. `python -m benchmarks.faults.readers` is the long version."""

import signal
import time
import warnings

import pytest

from benchmarks.faults.readers import READERS, SECONDS, cases, expired, outcome

# Beside the bombs; the others' bombs read thousands of pictures.
SPOILT = 20
QUICK = ("pickle", "torch", "training", "safetensors", "ema.safetensors", "msgpack", "npz", "idx")


@pytest.mark.parametrize("name", QUICK)
def test_every_file_is_read_or_refused_in_time(name):
    if name in ("torch", "training"):
        pytest.importorskip("torch")
    found = {}
    signal.signal(signal.SIGALRM, expired)
    for label, data in cases(name, SPOILT):
        signal.setitimer(signal.ITIMER_REAL, 20 * SECONDS)
        start = time.thread_time()
        with warnings.catch_warnings():
            # Damaged caches are made again, which is said.
            warnings.simplefilter("ignore")
            kind, said = outcome(name, data)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if kind not in ("read", "refused") or not said.isprintable() or time.thread_time() - start > 2 * SECONDS:
            found[label] = kind, said, time.thread_time() - start
    assert not found


@pytest.mark.parametrize("name", QUICK)
def test_whole_files_are_read(name):
    if name in ("torch", "training"):
        pytest.importorskip("torch")
    assert {label: outcome(name, data) for label, data in READERS[name].whole().items()} == {
        label: ("read", "") for label in READERS[name].whole()
    }
