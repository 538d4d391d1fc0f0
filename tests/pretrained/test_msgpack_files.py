"""Flax checkpoints are read as flax reads them; a hostile one is refused, builds nothing, and the rest of a file is not read."""

import random
import tracemalloc

import numpy as np
import pytest
from flax import serialization

from benchmarks.faults import bombs
from sde_vae.errors import BadInput
from sde_vae.pretrained import msgpack_files
from sde_vae.pretrained.msgpack_files import read_flax


def everything(name):
    return True


def written(tmp_path, data):
    path = tmp_path / "checkpoint_5"
    path.write_bytes(data if isinstance(data, bytes) else serialization.msgpack_serialize(data))
    return path


def test_the_arrays_are_those_that_were_written(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "scalar": np.array(2.5, np.float32),
        "many": rng.standard_normal(70_000).astype(np.float32),
        "half": rng.standard_normal((3, 2)).astype(np.float16),
        "none": np.zeros((0, 300), np.int64),
        "key": np.array([5, 70_000], np.int32),
        "x" * 300: np.ones((1, 1, 1, 260), np.float32),
    }
    tree = {
        "step": 70_000,
        "rate": -0.5,
        "small": -3,
        "text": "a" * 40,
        "nothing": None,
        "flag": True,
        "state": {str(i): {"m": arrays["half"]} for i in range(20)},
        "list": [arrays["key"], [arrays["half"]]],
        "params": arrays,
    }
    found = read_flax(written(tmp_path, tree), everything)
    for name, array in arrays.items():
        read = found[f"params/{name}"]
        assert (read.dtype, read.shape, read.flags.writeable) == (array.dtype, array.shape, False)
        np.testing.assert_array_equal(read, array)
    np.testing.assert_array_equal(found["state/17/m"], arrays["half"])
    np.testing.assert_array_equal(found["list/1/0"], arrays["half"])
    assert len(found) == len(arrays) + 20 + 2


def test_what_is_not_wanted_is_not_built(tmp_path):
    """Of 16 MB, views of 4 MB: the map itself is not Python's memory."""
    big = np.ones(1_000_000, np.float32)
    path = written(tmp_path, {"optimizer": {"m": big, "v": big, "target": big}, "params_ema": {"w": big}})
    tracemalloc.start()
    found = read_flax(path, lambda name: name.startswith("params_ema/"))
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    assert list(found) == ["params_ema/w"]


HOSTILE = bombs.msgpack_files()


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_in_one_line_and_builds_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setattr(msgpack_files, "MAX_VALUES", 500)
    path = written(tmp_path, data)
    tracemalloc.start()
    with pytest.raises(BadInput, match="checkpoint_5: not a whole Flax checkpoint: ") as error:
        read_flax(path, everything)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert len(str(error.value).splitlines()) == 1


def test_whatever_is_flipped_or_cut_the_error_is_ours(tmp_path):
    tree = {
        "step": 5,
        "state": {"a": np.ones(3, np.float32), "b": [1.5, "x"]},
        "params_ema": {"w": np.ones((2, 3), np.float16)},
    }
    whole = serialization.msgpack_serialize(tree)
    rng, refused = random.Random(0), 0
    for i in range(2 * len(whole)):
        data = bytearray(whole)
        data[i % len(whole)] = rng.randrange(256)
        if i % 2 == 0:
            del data[rng.randrange(len(whole)) :]
        try:
            read_flax(written(tmp_path, bytes(data)), everything)
        except BadInput:
            refused += 1
    assert refused > len(whole) / 2
