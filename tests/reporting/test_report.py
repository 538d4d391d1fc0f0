"""The report in a browser: everything is in the page, it fits a phone, a desktop and print, and it asks nothing of a network."""

import io
import shutil

import numpy as np
import pytest
from matplotlib.text import Text

from sde_vae.reporting import plots
from sde_vae.reporting.provenance import provenance
from sde_vae.reporting.report import FIGURES, write_report
from sde_vae.reporting.tables import as_text, figure, headline, tables

METHODS = ("reconstruction", "reconstruction_of_mean", "baseline/pca", "baseline/mean_image")
PER_IMAGE = ("l2", "mse", "psnr", "ssim", "lpips_alex", "lpips_vgg", "kid_efflite0")
# As wide as it gets: every method, every metric.
METRICS = {
    "n": 9,
    **{f"{method}/{metric}": 0.7301 for method in METHODS for metric in PER_IMAGE},
    **{f"{method}/{metric}_stderr": 0.0134 for method in METHODS for metric in PER_IMAGE},
    **{f"{method}/fd_efflite0": 12.5 for method in METHODS},
    "reference/fd_efflite0": 3.25,
    "samples/n": 64.0,
    "samples/fd_efflite0": 40.0,
    "samples/fd_efflite0_reference": 4.5,
    "samples/reference_n": 50.0,
    "bits_per_dim/total": 3.28,
    "bits_per_dim/total_stderr": 0.12,
    "bits_per_dim/prior": 2.2e-5,
    "bits_per_dim/prior_stderr": 7.9e-8,
    "bits_per_dim/reconstruction": 4.3e-9,
    "bits_per_dim/reconstruction_stderr": 2.2e-9,
    "bits_per_dim/above_prior": 0.49,
    "bits_per_dim/gain_over_shuffled": 1.25,
    "shuffled/bits_per_dim/total": 4.53,
    "prior/bits_per_dim/total": 2.79,
    "weights/efflite0": f"sha256 {'0123456789abcdef' * 4}, as published",
}
PRIORS, EDITS = (
    ("diffusion", "gaussian", "normal"),
    ("true_change", "counterfactual_distance", "success", "preserved", "off_target"),
)
# In the order of a file.
LATENT = {
    **{f"latent/edit/{figure}/{k}": 0.637 for figure in EDITS for k in ("0.5", "1", "1.5")},
    **{f"latent/edit/{figure}/{k}_stderr": 0.019 for figure in EDITS for k in ("0.5", "1", "1.5")},
    "latent/edit/success/0": 0.366,
    "latent/edit/hair_red/success": 0.7,
    "latent/edit/images": 64.0,
    "latent/edit/classifier_accuracy": 0.553,
    "latent/edit/targets": 5.0,
    **{f"latent/interpolation/{path}/{f}": 1.2 for path in ("inverted", "linear") for f in ("ends_l2", "largest_step")},
    "latent/interpolation/pairs": 16.0,
    **{f"latent/neighbours/{name}": value for name, value in (("among", 1077.0), ("chance", 0.1), ("k", 5.0))},
    **{f"latent/neighbours/{name}": 0.96 for name in ("latent", "pixels")},
    **{f"latent_prior/{prior}/{metric}": 0.26 for prior in PRIORS for metric in ("fd_efflite0", "kid_efflite0")},
    **{f"latent_prior/{prior}/kid_efflite0_stderr": 0.001 for prior in PRIORS},
    "latent_prior/n": 360.0,
}
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def report(folder):
    images = np.random.default_rng(0).uniform(0, 1, (16, 8, 8, 3)).astype(np.float32)
    for stem in FIGURES:
        plots.rows({"original": images, "<b>ScoreVAE</b>": images}, folder / f"{stem}.png")
    path = folder / "report.html"
    made = {"train command": "python main.py " + "--config.stages.prior.steps=800 " * 5, "versions": {"jax": "0.10"}}
    write_report(path, "score_vae on <digits> & co", METRICS | LATENT, made)
    return path


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield chromium
        chromium.close()


# Text or a box that is wider than its place, or that lies outside of the page.
CUT = """[...document.querySelectorAll('body *')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0
    || e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1400, 900)], ids=["phone", "desktop"])
def test_the_page_is_complete_and_nothing_is_cut_off(browser, tmp_path, width, height):
    path = report(tmp_path)
    page = browser.new_page(viewport={"width": width, "height": height})
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    page.wait_for_load_state("networkidle")
    sizes = page.evaluate("[...document.images].map(i => i.complete ? i.naturalWidth : 0)")
    assert len(sizes) == len(FIGURES)
    assert min(sizes) > 100
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert not said
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"
    assert page.evaluate(CUT) == []
    assert page.title() == "score_vae on <digits> & co"
    assert "0.730 ± 0.013" in page.inner_text("table")
    # Every link of the contents leads somewhere.
    assert page.evaluate("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))")
    # The labels of all figures are of one size on the page too.
    assert len(set(page.evaluate("[...document.images].map(i => Math.round(i.clientWidth))"))) == 1
    wide = page.evaluate("document.querySelector('.figures').clientWidth")
    assert wide > 0.9 * width
    # On paper nothing can be scrolled: A4 between margins of a centimetre and a half is 680 pixels wide.
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 960})
    assert page.evaluate("[...document.querySelectorAll('.wide')].every(e => e.scrollWidth <= e.clientWidth)")
    assert page.pdf()[:5] == b"%PDF-"
    page.close()


def test_an_error_that_is_rounding_is_not_shown():
    assert figure(0.275158221645432077, 1.1e-17) == figure(0.275158221645432077) == "0.2752"
    assert figure(0.2752, 1e-6) == "0.2752000 ± 0.0000010"


def test_all_figures_have_one_width_and_one_size_of_text():
    images, line = np.zeros((3, 8, 8, 1), np.float32), ([1, 2], [1, 2])
    panel = plots.Panel("title", "x", "y", {"line": line}, {"constant": 1.5}, log_y=True)
    log = [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}]
    figures = [
        plots.rows({"one": images, "another": images}),
        plots.grid(images),
        plots.curves({name: log for name in ("prior", "encoder", "latent")}),
        plots.lines([panel, panel]),
        plots.bars_and_scatter(
            plots.Bars("title", "x", "y", np.arange(4), np.arange(4) > 1),
            plots.Scatter("title", "x", "y", np.zeros((4, 2)), ("digit", np.arange(4))),
        ),
        plots.heat_map(plots.HeatMap("title", "x", "colour", ["row"], ["1", "2"], np.ones((1, 2)))),
    ]
    assert {figure.get_figwidth() for figure in figures} == {plots.WIDTH}
    sizes = {text.get_fontsize() for figure in figures for text in figure.findobj(Text) if text.get_text()}
    assert sizes == {plots.FONT_SIZE}


def test_rows_show_every_image_once_in_its_place():
    """A row is one picture, in which image k lies between k and k + 1 of its widths."""
    images = np.stack([np.full((8, 8, 1), k / 4, np.float32) for k in range(4)])
    (ax,) = plots.rows({"levels": images}).axes
    shown = ax.images[0].get_array()
    width = shown.shape[1] // 4
    centres = shown[shown.shape[0] // 2, width // 2 :: width]
    np.testing.assert_allclose(centres, np.repeat(np.arange(4)[:, None] / 4, 3, axis=1))


def test_the_headline_says_how_good_and_against_what():
    assert headline(METRICS | {"latent_dim": 16}) == (
        "Reconstruction l2 0.730 ± 0.013 (lower is better); PCA with 16 components 0.730; the mean image 0.730."
    )
    bound = {name: value for name, value in METRICS.items() if "bits_per_dim" in name}
    assert headline(bound) == "Bound 3.28 ± 0.12 bits/dim (lower is better); the prior alone 2.79."
    assert headline({"n": 3}) == ""


def test_how_it_was_made_names_what_differs_and_how_long_it_took():
    rows = [{"step": 100, "steps_per_second": 10.0}, {"step": 200, "steps_per_second": 20.0}]
    made = provenance(
        trained={"command": "python main.py --mode train", "devices": ["cpu", "cpu"], "commit": None},
        evaluated={"date": "2026-01-01 00:00 UTC"},
        config={"seed": 1, "eval.lpips": (), "sampling.steps": 20},
        defaults={"seed": 0, "eval.lpips": (), "sampling.steps": 20},
        logs={"prior": rows, "encoder": []},
        parameters={"prior": 631809},
        images={"train": 1077},
    )
    assert made == {
        "train command": "python main.py --mode train",
        "training": {"prior": "200 steps in 15 s"},
        "parameters": {"prior": "631,809"},
        "images": {"train": "1,077"},
        "config (other values than the defaults)": {"seed": "1 (default 0)"},
        "devices of training": "2 x cpu",
        "evaluated": "2026-01-01 00:00 UTC",
    }


def test_values_are_as_precise_as_their_errors_allow():
    assert figure(0.7301, 0.0134) == "0.730 ± 0.013"
    assert figure(123.456, 7.8) == "123.5 ± 7.8"
    assert figure(1234.5, 78.0) == "1234 ± 78"
    assert figure(0.00123456, 0.0000999) == "0.001235 ± 0.000100"
    assert figure(0.00123456) == "0.001235"
    assert figure(2.0, float("nan")) == "2"
    assert figure(4.313e-9, 2.2209e-9) == "(4.3 ± 2.2)e-9"
    assert figure(-1.6e-5, 9.8e-4) == "(-0.2 ± 9.8)e-4"
    assert figure(2.5e7, 1e5) == "(2.500 ± 0.010)e7"
    assert figure(5.0e-5) == "5e-5"
    assert figure(0.0) == "0"
    assert figure(20000.0) == "20000"
    assert figure(None) == ""


def test_the_tables_hold_what_there_is_and_no_more():
    reconstruction, samples, bound = tables(METRICS)
    assert reconstruction.head == ["ScoreVAE", "ScoreVAE, mean z", "PCA", "mean image", "other real images"]
    headings = ["l2 ↓", "mse ↓", "psnr ↑", "ssim ↑", "lpips_alex ↓", "lpips_vgg ↓", "fd_efflite0 ↓", "kid_efflite0 ↓"]
    assert [name for name, _ in reconstruction.rows] == headings
    assert [value for value, _ in dict(reconstruction.rows)["fd_efflite0 ↓"]] == [12.5, 12.5, 12.5, 12.5, 3.25]
    assert samples.rows == [("fd_efflite0 ↓", [(40.0, None), (4.5, None)])]
    assert (samples.head, bound.head[-1]) == (["64 samples", "50 held-out images"], "total ↓")
    assert [(name, cells[-1][0]) for name, cells in bound.rows] == [
        ("ScoreVAE", 3.28),
        ("ScoreVAE, z shuffled", 4.53),
        ("the prior alone", 2.79),
        ("ScoreVAE less its prior", 0.49),
        ("gain of z over shuffled z, without the KL", 1.25),
    ]
    assert next(t.title for t in tables(METRICS | {"split": "train"})).endswith(" train images")
    assert tables({"n": 3}) == []
    text = as_text(reconstruction).splitlines()
    assert len({len(line) for line in text[1:]}) == 1


def test_the_errors_at_each_noise_level_stand_beside_those_with_shuffled_z():
    metrics = {f"noise_level/{l}/{m}": v for l in ("-10.0", "2.5") for m, v in (("mse", 0.1), ("shuffled_mse", 0.3))}
    (table,) = tables(metrics | {"from_z/linear_mse": 0.2, "noise_level/2.5/prior_mse": 0.15})
    assert table.head == ["with z ↓", "z shuffled", "without z"]
    assert [[value for value, _ in cells] for _, cells in table.rows] == [
        [0.2, None, None],
        [0.1, 0.3, None],
        [0.1, 0.3, 0.15],
    ]


def test_the_tables_of_the_latent_space():
    priors, edits, interpolation, neighbours = tables(LATENT)
    assert priors.title == "360 images decoded from new z, against the training set"
    assert priors.head == ["fd_efflite0 ↓", "kid_efflite0 ↓"]
    assert [name for name, _ in priors.rows] == ["z ~ N(0, I)", "z of a Gaussian", "z by diffusion"]
    assert priors.rows[0][1] == [(0.26, None), (0.26, 0.001)]
    assert edits.title == "Edits to 5 attribute values, 64 images each; classifier accuracy 55%"
    assert [name for name, _ in edits.rows] == ["without an edit", "strength 0.5", "strength 1", "strength 1.5"]
    # Without an edit there is one figure only.
    assert edits.rows[0][1] == [(0.366, None)] + [(None, None)] * 4
    assert edits.rows[2][1] == [(0.637, 0.019)] * 5
    assert [name for name, _ in interpolation.rows] == ["z along a line", "z and x_T along arcs"]
    assert neighbours.title.startswith("The 5 nearest of 1077 training images")
    assert [cells for _, cells in neighbours.rows] == [[(0.96, None)], [(0.96, None)], [(0.1, None)]]


def test_the_tables_of_the_latent_space_hold_no_more_than_there_is():
    assert tables({"latent_prior/n": 360.0, "latent/traversal/l2": 1.0}) == []
    (priors,) = tables({"latent_prior/flow/fd_pixels": 2.0, "latent_prior/normal/fd_pixels": 1.0})
    assert priors.rows == [("z ~ N(0, I)", [(1.0, None)]), ("flow", [(2.0, None)])]
    # Images that cannot be rendered again, and one attribute.
    (edits,) = tables({"latent/edit/success/0": 0.1, "latent/edit/success/1": 0.9})
    assert (edits.head, len(edits.rows)) == (["success ↑"], 2)


# Formulas, terminal escapes, bytes that are not UTF-8, HTML, text from right to left, long and empty.
NAMES = (
    *("$", "$x_{", "a$b$c", r"\frac$$", "x\x1b[31m", "\udcff", "_hidden", "<b>&", "\u202eright", "x" * 3000),
    *("a\nb", "a/b", "\0", "{x}", "%s", ""),
)


def draw(figure):
    """Lay out every text of a figure, in few pixels."""
    figure.savefig(io.BytesIO(), dpi=20)


def test_names_from_the_data_are_shown_and_never_act(tmp_path):
    """In every figure that takes names, and in the page."""
    bars = plots.Bars("KL", "dimension", "nats", np.ones(3), np.ones(3, bool))
    for i, name in enumerate(NAMES[:9]):
        values = np.arange(12) if i % 2 else np.arange(12) % 2
        draw(plots.bars_and_scatter(bars, plots.Scatter("z", "x", "y", np.zeros((12, 2)), (name, values))))
    draw(plots.rows({f"{name}: 1": np.zeros((2, 4, 4, 1)) for name in NAMES}))
    draw(plots.heat_map(plots.HeatMap("t", "x", "colour", [*NAMES], [*NAMES], np.eye(len(NAMES)))))
    panel = lambda name: plots.Panel("t", "x", "y", {f"x{name}": ([1, 2], [1, 2])}, {f"c{name}": 1.0}, True)
    draw(plots.lines([panel(name) for name in NAMES[:6]]))
    draw(plots.curves({name: [{"step": i, f"loss/{name}": 1.0} for i in range(3)] for name in NAMES[4:8]}))
    for name in NAMES:
        metrics = {f"latent/probe_accuracy/{name}": 0.5, f"latent/edit/{name}_1/success": 0.5, "split": name}
        write_report(tmp_path / "report.html", name, metrics, {name: {name: name}})
        page = (tmp_path / "report.html").read_text()
        assert "<b>" not in page
        assert all(c.isprintable() or c == "\n" for c in page)


@pytest.mark.parametrize("name", ["$", "a$b$c", r"\$x$", "x_{"])
def test_a_plotted_name_is_no_formula(name):
    shown = next(text for text in plots.rows({name: np.zeros((1, 4, 4, 1))}).findobj(Text) if text.get_text())
    assert shown._preprocess_math(shown.get_text()) == (name, False)


@pytest.mark.parametrize(
    "logged",
    [
        {},
        {"prior": []},
        {"prior": [{"step": 1, "loss": None}], "encoder": []},
        {"prior": [{"step": 1}, {"step": 2, "loss": 1.0}]},
    ],
)
def test_curves_of_an_empty_log_or_of_rows_without_a_loss_are_a_figure(logged, tmp_path):
    plots.curves(logged, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0
