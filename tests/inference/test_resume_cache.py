"""An evaluation that is stopped goes on where it was, and never with what belongs to another one."""

import numpy as np
import pytest

from sde_vae.inference.batched_map import batched_map
from sde_vae.inference.resume_cache import ResumeCache

pytestmark = pytest.mark.usefixtures("one_device")


def counted(calls, stop_at=None):
    def function(x):
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        calls.append(len(x))
        return 2 * x

    return function


def test_finished_batches_are_not_computed_again(tmp_path):
    x = np.arange(10.0)
    calls = []
    with pytest.raises(KeyboardInterrupt):
        batched_map(counted(calls, stop_at=2), 4, x, label="a b", cache=ResumeCache(tmp_path / "p", {"step": 1}))
    again = batched_map(counted(calls), 4, x, label="a b", cache=ResumeCache(tmp_path / "p", {"step": 1}))
    np.testing.assert_array_equal(again, 2 * x)
    assert len(calls) == 3


def test_another_number_of_devices_goes_on_with_pieces_of_its_own(tmp_path, use_devices):
    x = np.arange(10.0)
    with pytest.raises(KeyboardInterrupt):
        batched_map(counted([], stop_at=2), 2, x, label="a", cache=ResumeCache(tmp_path / "p", {}))
    use_devices(2)
    again = batched_map(counted([]), 2, x, label="a", cache=ResumeCache(tmp_path / "p", {}))
    np.testing.assert_array_equal(again, 2 * x)


def test_pieces_of_another_key_are_thrown_away(tmp_path):
    first = ResumeCache(tmp_path / "p", {"step": 1, "shape": (2, 3)})
    assert first.values("a", lambda: {"x": 1.0}) == {"x": 1.0}
    assert ResumeCache(tmp_path / "p", {"step": 1, "shape": (2, 3)}).values("a", lambda: {"x": 2.0}) == {"x": 1.0}
    assert ResumeCache(tmp_path / "p", {"step": 2, "shape": (2, 3)}).values("a", lambda: {"x": 2.0}) == {"x": 2.0}


def test_a_damaged_piece_is_made_again(tmp_path):
    cache = ResumeCache(tmp_path / "p", {})
    cache.array("a", range(5), lambda: np.arange(3))
    path = tmp_path / "p" / "a" / "000000_000005.npy"
    path.write_bytes(path.read_bytes()[:-4])
    np.testing.assert_array_equal(cache.array("a", range(5), lambda: np.arange(5)), np.arange(5))
    (tmp_path / "p" / "b.json").write_text("{")
    assert cache.values("b", lambda: {"y": 1}) == {"y": 1}
    cache.discard()
    assert not (tmp_path / "p").exists()
