"""The comparison's picture: everything that was run is in it, and what looks alike is alike."""

import compare_panels
import compare_plots
import matplotlib.pyplot as plt
import numpy as np
import pytest
from compare_seeds import over_seeds

from tests.compared import of_table

NAMES = {title: f"of/{title}" for title in compare_panels.COLUMNS}
LEVELS = {"noise_level/-10.0/mse": 0.1, "noise_level/8.0/mse": 0.001}


def run_of(folder, row, latent=4, seed=0, channels=1, **metrics):
    """A kept row, as far as pictures go: its metrics are those of NAMES, less what is None."""
    directory = folder / f"{row.name}_{latent}_{seed}"
    directory.mkdir()
    images = np.full((8, 8, 8, channels), 100 + seed, np.uint8)
    np.savez(directory / "pictures.npz", **dict.fromkeys(("original", "PCA", "reconstruction"), images))
    told = {name: 1.0 + seed for name in NAMES.values()} | LEVELS | {"from_z/kernel_mse": 0.1} | metrics
    told = {name: value for name, value in told.items() if value is not None}
    return {"row": row, "latent": latent, "seed": seed, "directory": directory, "metrics": told}


@pytest.fixture
def rows(tmp_path):
    return of_table("compare", tmp_path).rows


CASES = {
    "one method of one size": [("lifted", {})],
    "two sizes, one of them at another seed": [("lifted", {}), ("lifted", {"latent": 8, "seed": 1})],
    "without LPIPS": [("lifted", {"of/LPIPS": None}), ("lifted", {"of/LPIPS": None, "latent": 8})],
    "in colour": [("lifted", {"channels": 3}), ("beta_vae_0.01", {"channels": 3})],
    "levels without a regression": [("lifted", {"from_z/kernel_mse": None})],
    "levels of the larger size alone": [("lifted", dict.fromkeys(LEVELS)), ("lifted", {"latent": 8})],
    "no levels": [("beta_vae_0.01", dict.fromkeys(LEVELS))],
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_drawn(case, rows, tmp_path):
    found = [run_of(tmp_path, rows[name], **more) for name, more in case]
    compare_plots.draw(found, NAMES, tmp_path / "new" / "page.png")
    assert (tmp_path / "new" / "page.png").stat().st_size > 10_000


def test_the_mean_image_is_a_row_where_it_was_kept(rows, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(compare_plots, "_grid", lambda part, names, shown: drawn.append(names))
    run = run_of(tmp_path, rows["lifted"])
    compare_plots.draw([run], NAMES, tmp_path / "page.png")
    with np.load(run["directory"] / "pictures.npz") as images:
        np.savez(run["directory"] / "pictures.npz", **images, **{"mean image": images["original"]})
    compare_plots.draw([run], NAMES, tmp_path / "page.png")
    title = rows["lifted"].title
    assert drawn == [["original", "PCA", title], ["original", "mean image", "PCA", title]]


def test_no_two_methods_look_alike_and_what_is_dashed_is_on_draws(rows):
    found = [{"row": row} for row in rows.values()]
    looks = compare_plots.looks(found)
    assert list(looks) == [row.title for row in rows.values()]
    assert len({tuple(sorted(look.items())) for look in looks.values()}) == len(rows)
    for row in rows.values():
        assert (looks[row.title]["ls"] == "--") == row.on_draws
        if row.on_draws:
            without = looks[rows[row.name.removesuffix("_draws")].title]
            assert looks[row.title]["color"] == without["color"]


def test_a_strip_has_white_between_its_images():
    images = np.random.default_rng(0).random((3, 4, 32, 3))
    joined = compare_plots.strip(images)
    assert joined.shape == (4, 3 * 32 + 2 * 2, 3)
    np.testing.assert_array_equal(joined[:, 34:66], images[1])
    np.testing.assert_array_equal(joined[:, 32:34], 1)
    assert compare_plots.strip(images[..., :1]).shape == joined.shape[:2]


def test_a_bar_is_the_tables_figure_with_the_tables_error(rows, tmp_path):
    found = [run_of(tmp_path, rows["lifted"], seed=seed, **{"of/l2_stderr": 9.0}) for seed in (0, 1, 3)]
    part = plt.figure()
    compare_panels.draw(part, found, {"l2": NAMES["l2"]}, compare_plots.looks(found))
    ((bar,), (whisker,)) = part.axes[0].patches, part.axes[0].collections
    value, error = over_seeds([run["metrics"] for run in found], NAMES["l2"])
    assert bar.get_width() == pytest.approx(value)
    (segment,) = whisker.get_segments()
    np.testing.assert_allclose(segment[:, 0], [value - error, value + error])
    plt.close(part)
