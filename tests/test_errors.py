"""What a command says and returns when it goes wrong."""

import pytest

from sde_vae.errors import BadInput, Diverged, choose, exit_code


def _raises(error):
    raise error


@pytest.mark.parametrize(("error", "code"), [(BadInput("a field"), 2), (Diverged("step 3"), 1)])
def test_what_went_wrong_is_one_line_and_a_code(error, code, capsys):
    assert exit_code(lambda: _raises(error)) == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_what_went_well_is_silent(capsys):
    assert exit_code(lambda: None) == 0
    assert capsys.readouterr().err == ""


def test_what_is_nobodys_input_is_a_traceback():
    with pytest.raises(ValueError, match="ours"):
        exit_code(lambda: _raises(ValueError("ours")))


def test_an_unknown_name_lists_those_that_are_known():
    with pytest.raises(BadInput, match=r"^config.x: unknown name 'c'; known: a, b$"):
        choose("config.x", "c", {"b": 1, "a": 2})


def test_an_unknown_name_has_the_nearest_of_the_known():
    with pytest.raises(BadInput, match=r"^config.x: unknown name 'ancestal', did you mean 'ancestral'\?; known: "):
        choose("config.x", "ancestal", {"ancestral": 1, "heun": 2})
