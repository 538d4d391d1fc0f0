"""What config.json says of a run is checked when it is read."""

import json
import warnings

import numpy as np
import pytest

import sde_vae
from sde_vae.build.config import load_config
from sde_vae.run import PACKAGED
from sde_vae.training import workdir

DATA = {"name": "arrays", "levels": 0, "mean": [0.25], "std": [1.5]}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A folder that has been claimed for the digits' config, whose data have a mean."""
    monkeypatch.setattr(workdir, "facts", lambda: {"command": "python main.py"})
    flat = workdir.flatten(load_config("scorevae_digits").to_dict())
    workdir.claim(tmp_path, flat, DATA)
    return tmp_path


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [("eval", "n", 361), ("sampling", "steps", 251), ("sampling", "guidance", 3.0), ("data", "mean", [0.75])],
)
def test_a_change_of_what_may_change_freely_is_said_in_a_line_that_names_the_file(run, place, name, value):
    path = run / "config.json"
    found = json.loads(path.read_text())
    section = found["data"] if place == "data" else found["config"][place]
    assert section[name] != value
    section[name] = value
    path.write_text(json.dumps(found))
    with pytest.warns(UserWarning, match="checksum") as said:
        loaded = sde_vae.load(run)
    assert {str(w.message) for w in said} == {
        f"{path}: damaged, or changed by hand: its checksum is wrong; taken as it is"
    }
    if place != "data":
        assert loaded.config[place][name] == value


def test_nothing_is_said_of_a_config_that_is_whole_nor_of_an_older_one_nor_of_another_command(run):
    path = run / "config.json"
    found = json.loads(path.read_text())
    assert isinstance(found["crc32"], int)
    without = {name: of for name, of in found.items() if name != "crc32"}
    for kept in (found, found | {"command": "another"}, without):
        path.write_text(json.dumps(kept))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert sde_vae.load(run).config == load_config("scorevae_digits")
    np.testing.assert_array_equal(workdir.read_facts(run)["data"]["mean"], 0.25)


def test_a_flipped_bit_anywhere_in_it_is_said_or_refused(run):
    """Of the fields that may change freely, in the text itself."""
    path, whole = run / "config.json", workdir.read_config(run)
    text = path.read_bytes()
    first, last = text.index(b'"sampling"'), text.index(b'"sde"')
    for at in range(first, last, 7):
        path.write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                found = workdir.read_config(run)
            except ValueError:
                continue
        assert said or found == whole


def test_the_packaged_run_has_a_checksum():
    assert "crc32" in workdir.read_facts(PACKAGED / "digits")
