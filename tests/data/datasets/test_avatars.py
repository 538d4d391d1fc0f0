"""The drawn faces: the factors decide the pixels, all of them that show, and nothing else does."""

import random
import sys
from collections import Counter
from itertools import combinations
from math import prod

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare

from sde_vae.data.dataset import DataOptions
from sde_vae.data.datasets import avatar_faces, avatars
from sde_vae.data.datasets.avatar_faces import render, svg
from sde_vae.data.datasets.avatar_factors import FACTORS, HAIR, factors, hidden, odds
from sde_vae.errors import BadInput
from tests.helpers.avatars import counterfactual

pytest.importorskip("python_avatars")
pytest.importorskip("resvg_py")

SIZE = 32
CONDITIONAL = ("top", "hair_color", "hat_color", "facial_hair", "facial_hair_color")


def options(cache, **changes):
    same = {
        "dir": None,
        "image_size": SIZE,
        "channels": 3,
        "crop": 0,
        "filter": "box",
        "skip_corrupt": False,
        "cache": cache,
    }
    return DataOptions(**{**same, **changes})


def plain(**values):
    """A face of values 0 (bald, shaven, no glasses) but for those given by name."""
    return {n: FACTORS[n].index(values[n]) if n in values else 0 for n in FACTORS}


@pytest.fixture(scope="module")
def drawn_factors():
    return np.array([list(factors(seed).values()) for seed in range(4000)])


def test_factors_are_a_function_of_the_seed():
    forth = [factors(seed) for seed in range(50)]
    back = [factors(seed) for seed in reversed(range(50))][::-1]
    assert forth == back
    assert len({tuple(face.values()) for face in forth}) == 50


def test_factors_follow_their_odds(drawn_factors):
    for k, name in enumerate(FACTORS):
        p = odds(name)
        assert abs(p.sum() - 1) < 1e-12
        counts = np.bincount(drawn_factors[:, k], minlength=len(p))
        assert chisquare(counts, p * len(drawn_factors)).pvalue > 0.01 / len(FACTORS), name


def test_factors_are_independent(drawn_factors):
    """Every pair of factors, by the chi-square test of its table; 91 pairs share an error of 1 %."""
    pairs = list(combinations(range(len(FACTORS)), 2))
    for a, b in pairs:
        counts = np.zeros((len(odds(list(FACTORS)[a])), len(odds(list(FACTORS)[b]))))
        np.add.at(counts, (drawn_factors[:, a], drawn_factors[:, b]), 1)
        assert chi2_contingency(counts).pvalue > 0.01 / len(pairs), (list(FACTORS)[a], list(FACTORS)[b])


def test_train_and_test_share_no_face():
    """The expected number of pairs that look alike, from the odds: far below one."""
    same = {name: float(np.square(odds(name)).sum()) for name in FACTORS}
    hair, hats = len(HAIR) - 1, len(FACTORS["top"]) - len(HAIR)
    alike = (1 + hair * same["hair_color"] + hats * same["hat_color"]) / len(FACTORS["top"]) ** 2
    alike *= 0.5**2 + (same["facial_hair"] - 0.5**2) * same["facial_hair_color"]
    alike *= prod(same[n] for n in FACTORS if n not in CONDITIONAL)
    seeds = avatars.SEEDS
    assert alike * len(seeds["train"]) * len(seeds["test"]) < 0.01
    assert not any(set(a) & set(b) for a, b in combinations(seeds.values(), 2))


def test_every_value_has_a_look_of_its_own():
    """At 32 pixels, in a face where the factor shows; and no drawing asks for a font, a picture or a file."""
    needs = {
        "hair_color": {"top": "fro"},
        "hat_color": {"top": "turban"},
        "facial_hair_color": {"facial_hair": "beard_light"},
    }
    for name, values in FACTORS.items():
        faces = [plain(**{**needs.get(name, {}), name: value}) for value in values]
        looks = np.stack([render(face, SIZE) for face in faces]).astype(int)
        for i, j in combinations(range(len(values)), 2):
            assert np.abs(looks[i] - looks[j]).max() > 8, (name, values[i], values[j])
        for drawing in map(svg, faces):
            assert "<text" not in drawing
            assert "<image" not in drawing
            assert drawing.count("href=") == drawing.count('href="#')


def test_a_changed_factor_shows_unless_it_is_hidden():
    rng = np.random.default_rng(0)
    seen = Counter()
    for seed in range(12):
        face, before = factors(seed), render(factors(seed), SIZE)
        for name, values in FACTORS.items():
            value = values[(face[name] + rng.integers(1, len(values))) % len(values)]
            changes = (counterfactual(seed, name, value, SIZE) != before).any()
            assert changes == (name not in hidden(face)), (seed, name, value)
            seen[name, bool(changes)] += 1
    conditional = ("hair_color", "hat_color", "facial_hair_color")
    assert all(seen[name, changes] for name in conditional for changes in (True, False))
    face = factors(0)
    np.testing.assert_array_equal(render({**face, **dict.fromkeys(hidden(face), 0)}, SIZE), render(face, SIZE))


@pytest.mark.parametrize(("name", "first", "last"), [("mouth", 134, 280), ("eyebrows", 82, 120), ("eyes", 90, 134)])
def test_a_changed_factor_changes_its_place_alone(name, first, last):
    """The face's parts lie in bands of the drawing: mouths are below y = 134, and so on; 7 units are a pixel, from y = 20."""
    for seed in range(4):
        face = factors(seed)
        value = FACTORS[name][face[name] - 1]
        after = counterfactual(seed, name, value, SIZE)
        rows = np.flatnonzero((after != render(face, SIZE)).any((1, 2)))
        assert rows.min() >= (first - 20) // 7
        assert rows.max() <= (last - 20) // 7


@pytest.mark.parametrize(("value", "rgb"), [("default", "65C9FF"), ("black", "262E33"), ("white", "FFFFFF")])
def test_the_background_is_its_colour(value, rgb):
    image = render(plain(background_color=value), SIZE)
    assert image[0, 0].tobytes() == image[0, -1].tobytes() == bytes.fromhex(rgb)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_face_is_no_blot(size):
    looks = [render(factors(seed), size) for seed in range(6)]
    assert all(look.shape == (size, size, 3) and look.dtype == np.uint8 for look in looks)
    assert all(len(np.unique(look.reshape(-1, 3), axis=0)) > 40 and look.std() > 20 for look in looks)


def test_the_global_generators_are_left_alone():
    before = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    render(factors(3), SIZE)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_other_processes_draw_the_same():
    seeds = range(40, 104)  # two chunks
    here, there = (list(avatars.pictures(seeds, SIZE, processes)) for processes in (1, 2))
    backwards = list(avatars.pictures(seeds[::-1], SIZE, 1))[::-1]
    for a, b, c in zip(here, there, backwards, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.image, c.image)
        np.testing.assert_array_equal(a.attributes, b.attributes)


def test_the_data_set_is_rendered_once(tmp_path, monkeypatch):
    seeds = {"train": range(5), "test": range(100, 103)}
    first = avatars.drawn(options(tmp_path), seeds)
    monkeypatch.setattr(avatars, "render", None)  # nothing may draw any more
    again = avatars.drawn(options(tmp_path), seeds)
    assert first.attributes == tuple(FACTORS)
    assert first.shape == (SIZE, SIZE, 3)
    for name, numbers in seeds.items():
        for i, seed in enumerate(numbers):
            face = dict(zip(first.attributes, map(int, first.split(name).attributes[i]), strict=True))
            assert face == factors(seed)
            np.testing.assert_array_equal(first.split(name).images[i], render(face, SIZE))
            np.testing.assert_array_equal(again.split(name).images[i], first.split(name).images[i])
        np.testing.assert_array_equal(again.split(name).attributes, first.split(name).attributes)


def test_bad_input(tmp_path, monkeypatch):
    with pytest.raises(BadInput, match=r"config\.data\.channels.*got 1"):
        avatars.avatars(options(tmp_path, channels=1))
    for size in (8, 512):
        with pytest.raises(BadInput, match=rf"config\.data\.image_size.*got {size}"):
            avatars.avatars(options(tmp_path, image_size=size))
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(BadInput, match=r'resvg_py.*pip install -e "\.\[avatars\]"'):
        avatars.avatars(options(tmp_path))
    assert not list(tmp_path.iterdir())


def test_another_page_is_an_error(monkeypatch):
    monkeypatch.setattr(avatar_faces, "PAGE", 'viewBox="0 0 1 1"')
    with pytest.raises(RuntimeError, match="page"):
        render(factors(0), SIZE)
