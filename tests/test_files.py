"""Files that are written whole or not at all."""

import json
import os

import numpy as np
import pytest

from sde_vae import files

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
