"""What a folder's contents belong to."""

from sde_vae.keyed_folder import first_difference, held_key, write_key

KEY = {"n": 3, "shape": (8, 8), "source": {"seed": 0}}


def test_a_key_is_read_back_and_is_the_same(tmp_path):
    assert held_key(tmp_path) is None
    write_key(tmp_path, KEY)
    assert first_difference(held_key(tmp_path), KEY) is None


def test_the_first_field_that_differs_is_named():
    assert first_difference(KEY, {**KEY, "source": {"seed": 1}, "n": 4}) == "n"
    assert first_difference({"n": 3}, {"n": 3, "more": 0}) == "more"


def test_what_is_no_key_counts_as_none(tmp_path):
    for text in ("", "[1]", "{"):
        (tmp_path / "key.json").write_text(text)
        assert held_key(tmp_path) is None
