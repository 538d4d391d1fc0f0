"""What a command says and returns when it goes wrong."""

import ast
import io
import sys
from pathlib import Path

import pytest

import sde_vae
from sde_vae.errors import BadInput, Diverged, choose, exit_code, reason
from sde_vae.printing import Printable, printable, printable_output

PACKAGE = Path(sde_vae.__file__).parent


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


# A terminal's colour, title, and clearing; C1; a bell; text from right to left; bytes that are not UTF-8; other ends of a line.
ACTS = ("\x1b[31m", "\x1b]0;x\x07", "\x1b[2J", "\x9b1A", "\a", "\u202e", "\udcff", "\u2028", "\x85", "\0", "\x7f", "\b")


@pytest.mark.parametrize("act", ACTS)
def test_what_is_printed_never_acts_on_a_terminal(act, capsys):
    """Whatever door it goes through: an error, a line on standard output, a warning's text on standard error."""
    assert exit_code(lambda: _raises(BadInput(f"a{act}b\nc"))) == 2
    with printable_output():
        print(f"ä {act} ±")
        print(f"a{act}b", file=sys.stderr)
    said = capsys.readouterr()
    assert said.out == f"ä {printable(act)} ±\n"
    assert said.err == f"error: a{printable(act)}b\\nc\na{printable(act)}b\n"
    assert all(c.isprintable() or c == "\n" for c in said.out + said.err)
    assert printable(printable(act)) == printable(act)
    assert reason(ValueError(f"{act}")).isprintable()


def test_a_progress_bar_still_moves(capsys):
    with printable_output():
        print("\r50%\x1b[A\t", file=sys.stderr)
    assert capsys.readouterr().err == "\r50%\x1b[A\t\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_what_a_stream_cannot_encode_is_escaped(encoding):
    below = io.TextIOWrapper(raw := io.BytesIO(), encoding=encoding, write_through=True)
    Printable(below).write("± ☃ \udcff\n")
    assert (
        raw.getvalue().decode(encoding).replace("±", r"\xb1").replace("☃", r"\u2603").rstrip() == r"\xb1 \u2603 \udcff"
    )
    below.detach()


# Their messages are our own, and quote others shortened.
OUR_OWN = {"BadInput", "Refused", "Damaged", "Unfit"}


def types_of(handler):
    """The names of the types that an except clause catches."""
    caught = ast.walk(handler.type) if handler.type else ()
    return {node.id for node in caught if isinstance(node, ast.Name)} or {"BaseException"}


def test_what_another_library_says_is_quoted_shortened():
    """It may hold a whole damaged file: `{error}` alone stands in no message of ours."""
    for path in PACKAGE.rglob("*.py"):
        for handler in ast.walk(ast.parse(path.read_text())):
            if isinstance(handler, ast.ExceptHandler) and not types_of(handler) <= OUR_OWN:
                quoted = [node for node in ast.walk(handler) if isinstance(node, ast.FormattedValue)]
                whole = [f"{path}:{of.lineno}" for of in quoted if ast.unparse(of.value) == handler.name]
                assert not whole
