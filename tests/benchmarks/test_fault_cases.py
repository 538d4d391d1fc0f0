"""The table of inputs: each row says how loading ended, in one line."""

from benchmarks.faults.cases import ROWS, load
from tests.helpers.files import encoded, noise, write


def test_a_row_loads_or_is_refused_in_a_line(tmp_path):
    pictures = {f"{i:02}.png": encoded(x) for i, x in enumerate(noise(12))}
    write(tmp_path / "in" / "classes", {f"{c}/{n}": data for c in ("cat", "dog") for n, data in pictures.items()})
    found = load(tmp_path / "in", "classes", {"channels": 3}, tmp_path / "cache")
    assert found[:3] == ("classes", "channels=3", "loads")
    assert found.said.startswith("train 20, test 2, valid 2 of 16x16x3; label; 24 of 24 pictures: smaller")
    found = load(tmp_path / "in", "classes", {"channels": 1}, tmp_path / "cache")
    assert found.outcome == "refused"
    assert found.said.startswith("classes/cat/00.png: is in colour")
    assert len({(name, str(settings)) for name, settings in ROWS}) == len(ROWS)
