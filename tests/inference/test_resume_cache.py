"""An evaluation that is stopped goes on where it was, and never with what belongs to another one."""

import warnings

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


def test_a_damaged_piece_is_made_again_and_said(tmp_path):
    """Whatever byte is flipped: what comes back is the array that was kept, or is made again with a warning."""
    cache = ResumeCache(tmp_path / "p", {})
    kept = np.arange(5, dtype=np.float32)
    cache.array("a", range(5), lambda: kept)
    path = tmp_path / "p" / "a" / "000000_000005.npz"
    whole = path.read_bytes()
    again = 0
    for content in (whole[:-4], b"", *(flipped(whole, at) for at in range(0, len(whole), 3))):
        path.write_bytes(content)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            got = cache.array("a", range(5), lambda: -kept)
        assert np.array_equal(got, -kept if found else kept)
        again += len(found)
    assert again > len(whole) / 6


@pytest.mark.parametrize("content", [b"{", b"[1]", b"null", b"7", b'"x"', b"\xff", b'{"x": 1.0}', b"[" * 9999])
def test_damaged_values_are_made_again_and_said(tmp_path, content):
    cache = ResumeCache(tmp_path / "p", {})
    (tmp_path / "p" / "b.json").write_bytes(content)
    with pytest.warns(UserWarning, match=r"b\.json: damaged .*; made again"):
        assert cache.values("b", lambda: {"y": 1}) == {"y": 1}
    assert cache.values("b", lambda: {"y": 2}) == {"y": 1}


def test_values_that_are_not_finite_are_returned_and_not_kept(tmp_path):
    cache = ResumeCache(tmp_path / "p", {})
    assert cache.values("b", lambda: {"y": float("inf")}) == {"y": float("inf")}
    assert cache.values("b", lambda: {"y": 1.0}) == {"y": 1.0}
    cache.discard()
    assert not (tmp_path / "p").exists()


def flipped(raw, at):
    return raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :]
