"""The comparison's picture: everything that was run is in it, and related methods look alike."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from benchmarks.comparison import panels, plots, results
from benchmarks.comparison.page import complete
from benchmarks.comparison.statistics import over_seeds
from benchmarks.record import save_png
from tests.helpers.compared import of_table, record_of, results_of

COLOUR = results.encode(np.full((8, 8, 8, 3), 0.4))
NOISE = {"noise_level/-10.0/mse": 0.1, "noise_level/8.0/mse": 0.001, "from_z/kernel_mse": 0.1}
FULL = NOISE | {
    "multi_sample_mean/l2": 0.9,
    "multi_sample_mean/mse": 0.1,
    "multi_sample/decodings": 8,
    "reconstruction/mse": 0.2,
    "reconstruction/lpips_alex": 0.3,
    "multi_sample/fd_pixels": 0.1,
}
LPIPS, LEVELS = {"reconstruction/lpips_alex": None}, dict.fromkeys(("noise_level/-10.0/mse", "noise_level/8.0/mse"))
CASES = {
    "one method of one size": [("lifted", {})],
    "two sizes, one of them at another seed": [("lifted", {}), ("lifted", {"latent": 8, "seed": 1})],
    "without LPIPS": [("lifted", LPIPS), ("lifted", LPIPS | {"latent": 8})],
    "in colour": [("lifted", {"image": COLOUR}), ("beta_vae_0.01", {"image": COLOUR})],
    "levels without a regression": [("lifted", {"from_z/kernel_mse": None})],
    "levels of the larger size alone": [("lifted", LEVELS), ("lifted", {"latent": 8})],
    "no levels": [("beta_vae_0.01", LEVELS)],
}


@pytest.fixture
def comparison(tmp_path):
    return of_table("compare", tmp_path)


def of_runs(comparison, runs):
    return results_of(comparison, [record_of(comparison, name, **(FULL | more)) for name, more in runs])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_drawn(case, comparison, tmp_path):
    save_png(plots.draw(of_runs(comparison, case)), tmp_path / "new" / "page.png")
    assert (tmp_path / "new" / "page.png").stat().st_size > 5_000


def test_the_references_are_rows_where_they_were_kept(comparison, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "_grid", lambda part, names, shown: drawn.append(names))
    found = of_runs(comparison, [("lifted", {})])
    plt.close(plots.draw(found))
    found.references["mean image"] = found.references["original"]
    plt.close(plots.draw(found))
    title = comparison.rows["lifted"].title
    assert drawn == [["original", "PCA", title], ["original", "mean image", "PCA", title]]


def test_images_are_those_of_the_first_seed_that_has_them(comparison):
    shades = {seed: results.encode(np.full((8, 8, 8, 1), seed / 5)) for seed in (1, 2)}
    found = of_runs(comparison, [("lifted", {"seed": seed, "image": image}) for seed, image in shades.items()])
    shown = plots.images_of(found, found.frame(), 4)
    assert list(shown) == ["original", "PCA", comparison.rows["lifted"].title]
    np.testing.assert_allclose(shown[comparison.rows["lifted"].title], 0.2, atol=1e-3)


def test_no_two_methods_look_alike_and_dashed_is_with_synthetic_images(comparison):
    rows = comparison.rows
    looks = plots.looks_of(of_runs(comparison, [(name, {}) for name in rows]).frame())
    assert list(looks) == [row.title for row in rows.values()]
    assert len({tuple(sorted(look.items())) for look in looks.values()}) == len(rows)
    for row in rows.values():
        assert (looks[row.title]["ls"] == "--") == row.synthetic
        if row.synthetic:
            without = looks[rows[row.name.removesuffix("_synthetic")].title]
            assert looks[row.title]["color"] == without["color"]


def test_a_strip_has_white_between_its_images():
    images = np.random.default_rng(0).random((3, 4, 32, 3))
    joined = plots.strip(images)
    assert joined.shape == (4, 3 * 32 + 2 * 2, 3)
    np.testing.assert_array_equal(joined[:, 34:66], images[1])
    np.testing.assert_array_equal(joined[:, 32:34], 1)
    assert plots.strip(images[..., :1]).shape == joined.shape[:2]


def test_a_bar_is_the_tables_figure_with_the_tables_error(comparison):
    runs = [
        ("lifted", {"seed": seed, "reconstruction/l2": 1.0 + seed, "reconstruction/l2_stderr": 9.0})
        for seed in (0, 1, 3)
    ]
    frame = complete(of_runs(comparison, runs).frame())
    part = plt.figure()
    panels.draw(part, frame, plots.looks_of(frame))
    (bar,), (whisker, *_) = part.axes[0].patches, part.axes[0].collections
    summary = over_seeds(frame, ["reconstruction/l2"])
    value, error = summary.mean.iloc[0, 0], summary.error.iloc[0, 0]
    assert bar.get_width() == pytest.approx(value)
    (segment,) = whisker.get_segments()
    np.testing.assert_allclose(segment[:, 0], [value - error, value + error])
    plt.close(part)


def test_a_png_with_a_palette_keeps_its_colours(tmp_path):
    figure, ax = plt.subplots(figsize=(2, 2))
    ax.imshow(np.linspace(0, 1, 64).reshape(8, 8), cmap="gray")
    ax.plot([0, 7], [0, 7], color="red", lw=4)
    save_png(figure, tmp_path / "a.png")
    pixels = plt.imread(tmp_path / "a.png")
    assert np.isclose(pixels[..., :3], (1, 0, 0), atol=0.1).all(axis=-1).any()
