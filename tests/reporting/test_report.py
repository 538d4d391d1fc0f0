"""The report, opened in a browser as a reader opens it: everything is in the page, and nothing is asked of a network."""

import shutil

import numpy as np
import pytest

from sde_vae.reporting import plots
from sde_vae.reporting.report import PICTURES, write_report
from sde_vae.reporting.tables import as_text, figure, tables

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
    "latent/edit/hair_red/flipped": 0.7,
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
    for stem in PICTURES:
        plots.rows({"original": images, "<b>ScoreVAE</b>": images}, folder / f"{stem}.png")
    path = folder / "report.html"
    write_report(
        path, "score_vae on <digits> & co", METRICS | LATENT, {"command": "python main.py", "versions": {"jax": "0.10"}}
    )
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


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1400, 900)], ids=["phone", "desktop"])
def test_pictures_load_nothing_leaves_the_page_and_it_fits(browser, tmp_path, width, height):
    path = report(tmp_path)
    page = browser.new_page(viewport={"width": width, "height": height})
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    page.wait_for_load_state("networkidle")
    sizes = page.evaluate("[...document.images].map(i => i.complete ? i.naturalWidth : 0)")
    assert len(sizes) == len(PICTURES)
    assert min(sizes) > 100
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert not said
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"
    assert page.title() == "score_vae on <digits> & co"
    assert "0.730 ± 0.013" in page.inner_text("table")
    # The figures of the long list can be read without scrolling sideways.
    cut = "[...document.querySelectorAll('.wide')].map(box => box.scrollWidth - box.clientWidth)"
    assert page.evaluate(cut)[-1] <= 0
    # On paper nothing can be scrolled: A4 between margins of a centimetre and a half is 680 pixels wide.
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 960})
    assert max(page.evaluate(cut)) <= 0
    assert page.pdf()[:5] == b"%PDF-"
    page.close()


def test_figures_are_told_as_precisely_as_their_errors_allow():
    assert figure(0.7301, 0.0134) == "0.730 ± 0.013"
    assert figure(123.456, 7.8) == "123.5 ± 7.8"
    assert figure(1234.5, 78.0) == "1234 ± 78"
    assert figure(0.00123456, 0.0000999) == "0.001235 ± 0.000100"
    assert figure(0.00123456) == "0.001235"
    assert figure(2.0, float("nan")) == "2"
    assert figure(None) == ""


def test_the_tables_hold_what_there_is_and_no_more():
    reconstruction, samples, bound = tables(METRICS)
    assert reconstruction.head == ["ScoreVAE", "ScoreVAE, mean z", "PCA", "mean image", "other real images"]
    assert [name for name, _ in reconstruction.rows] == [*PER_IMAGE[:-1], "fd_efflite0", "kid_efflite0"]
    assert [value for value, _ in dict(reconstruction.rows)["fd_efflite0"]] == [12.5, 12.5, 12.5, 12.5, 3.25]
    assert samples.rows == [("fd_efflite0", [(40.0, None), (4.5, None)])]
    assert (samples.head, bound.head[-1]) == (["64 samples", "50 held-out images"], "total")
    assert next(t.title for t in tables(METRICS | {"split": "train"})).endswith(" train images")
    assert tables({"n": 3}) == []
    text = as_text(reconstruction).splitlines()
    assert len({len(line) for line in text[1:]}) == 1


def test_the_tables_of_what_is_done_with_a_latent():
    priors, edits, interpolation, neighbours = tables(LATENT)
    assert priors.title == "360 images of new z, against the training set"
    assert priors.head == ["fd_efflite0", "kid_efflite0"]
    assert [name for name, _ in priors.rows] == ["z ~ N(0, I)", "z of a Gaussian", "z by diffusion"]
    assert priors.rows[0][1] == [(0.26, None), (0.26, 0.001)]
    assert edits.title == "Edits to 5 values of attributes, 64 images each; the judge is right on 55%"
    assert [name for name, _ in edits.rows] == ["as decoded", "strength 0.5", "strength 1", "strength 1.5"]
    # Without an edit there is one figure only.
    assert edits.rows[0][1] == [(0.366, None)] + [(None, None)] * 4
    assert edits.rows[2][1] == [(0.637, 0.019)] * 5
    assert [name for name, _ in interpolation.rows] == ["z along a line", "z and x_T along arcs"]
    assert neighbours.title.startswith("The 5 nearest of 1077 training images")
    assert [cells for _, cells in neighbours.rows] == [[(0.96, None)], [(0.96, None)], [(0.1, None)]]


def test_of_a_latent_too_there_is_no_more_than_there_is():
    assert tables({"latent_prior/n": 360.0, "latent/traversal/l2": 1.0}) == []
    (priors,) = tables({"latent_prior/flow/fd_pixels": 2.0, "latent_prior/normal/fd_pixels": 1.0})
    assert priors.rows == [("z ~ N(0, I)", [(1.0, None)]), ("flow", [(2.0, None)])]
    # Nothing draws these images again, and there is one attribute.
    (edits,) = tables({"latent/edit/success/0": 0.1, "latent/edit/success/1": 0.9})
    assert (edits.head, len(edits.rows)) == (["has the value"], 2)
