"""Files that are written whole or not at all."""

import json
import os

import numpy as np
import pytest

from sde_vae import files
from sde_vae.errors import BadInput, NotWritten, exit_code

VALUE = np.arange(6.0).reshape(2, 3)
# Writer, suffix, and how what was written is read.
WRITERS = {
    "text": (lambda path, value: files.write_text(path, str(value)), ".txt", lambda path: path.read_text()),
    "json": (files.write_json, ".json", lambda path: json.loads(path.read_text())),
    "array": (files.write_array, ".npy", np.load),
    "arrays": (lambda path, value: files.write_arrays(path, a=value), ".npz", lambda path: np.load(path)["a"]),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_replaced_and_nothing_else_stays(tmp_path, name):
    write, suffix, read = WRITERS[name]
    path = tmp_path / "a" / f"b{suffix}"
    first, second = ([1.5], [2.5]) if name == "json" else ("one", "two") if name == "text" else (VALUE, 2 * VALUE)
    write(path, first)
    write(path, second)
    np.testing.assert_array_equal(read(path), second)
    assert list((tmp_path / "a").iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.npy"
    files.write_array(path, VALUE)
    with pytest.raises(ValueError, match="allow_pickle"):
        files.write_array(path, np.array([object()]))
    np.testing.assert_array_equal(np.load(path), VALUE)


def test_a_number_that_json_lacks_is_refused(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"x": 1})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"x": float("nan")})
    assert json.loads(path.read_text()) == {"x": 1}


def test_a_name_that_is_not_utf8_is_written_as_text(tmp_path):
    files.write_text(tmp_path / "x", "ä " + os.fsdecode(b"\xff.png"))
    assert (tmp_path / "x").read_text() == r"ä \udcff.png"


def test_a_checked_file_is_read_back_or_refused_whatever_byte_is_flipped(tmp_path):
    path, value = tmp_path / "a.json", {"x": 1.5, "names": ["a", None]}
    files.write_checked(path, value)
    assert files.read_checked(path) == value
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        try:
            assert files.read_checked(path) == value
        except ValueError:
            continue


def test_numbers_that_json_lacks_become_null_and_are_named():
    made, lost = files.finite_json(
        {"a": np.float32(np.nan), "b": {"c": [1, np.inf]}, "d": np.arange(2), "e": (True, "x")}
    )
    assert made == {"a": None, "b": {"c": [1, None]}, "d": [0, 1], "e": [True, "x"]}
    assert lost == ["a", "b/c/1"]


def test_a_place_that_cannot_be_written_or_has_no_room_is_refused(tmp_path):
    files.require_writable(tmp_path / "new" / "folder", "--workdir", 1000)
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    with pytest.raises(BadInput, match=r"--workdir: .* has room for .* MB, expected 1,000,000,000,000.0 MB"):
        files.require_writable(tmp_path, "--workdir", 10**18)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError("8 requested and 0 written")])
def test_a_full_disk_is_one_line(tmp_path, error):
    def full():
        with files.written(tmp_path / "x"):
            raise error

    with pytest.raises(
        NotWritten, match=rf"{tmp_path}/x: cannot be written \([nN]o space left on device\??\); free some room"
    ):
        full()


@pytest.mark.parametrize("error", [NotWritten("x"), OSError(28, "No space left on device", "x")])
def test_it_has_exit_code_1(capsys, error):
    def work():
        raise error

    assert exit_code(work) == 1
    assert capsys.readouterr().err.startswith("error: x")
