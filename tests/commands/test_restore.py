"""--mode restore: the user's own damaged pictures, and clear refusals of what does not go together."""

import re

import numpy as np
import pytest
from PIL import Image

import sde_vae
from sde_vae.build import conditional
from sde_vae.build.config import load_config, set_fields
from sde_vae.cli import main
from sde_vae.commands.restore import restore_to
from sde_vae.data.datasets.observed_pictures import read_masks, read_observations
from sde_vae.errors import BadInput
from sde_vae.run import Run
from tests.helpers.files import encoded, noise, options, write
from tests.helpers.small import pixelwise

pytestmark = pytest.mark.usefixtures("linear")

SMALL = {
    "method": "cde",
    "stages.encoder.steps": 1,
    "stages.encoder.batch_size": 8,
    "sampling.steps": 2,
    "eval.batch_size": 8,
}
PICTURES = noise(2, channels=1)
HOLE = np.zeros((8, 8, 1), np.uint8)
HOLE[2:5, 3:6] = 255


@pytest.fixture(scope="module")
def linear():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conditional, "build_image_network", pixelwise)
        yield


@pytest.fixture(scope="module")
def trained(linear, tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    assert sde_vae.train(set_fields(load_config("cmde_digits"), SMALL), directory)
    return directory


def with_task(trained, **changes):
    """The run as if trained with other fields: its parameters are not asked for."""
    return Run(trained, set_fields(sde_vae.load(trained).config, changes))


@pytest.fixture
def inputs(tmp_path):
    """Pictures a.png and deep/b.png, and their masks of other endings."""
    write(tmp_path / "in", {"a.png": encoded(PICTURES[0]), "deep/b.png": encoded(PICTURES[1])})
    write(tmp_path / "masks", {"a.bmp": encoded(HOLE, "BMP"), "deep/b.png": encoded(HOLE)})
    return tmp_path


def test_damaged_pictures_are_restored_to_files(trained, inputs, capsys):
    """n draws each under the picture's name; as an array the same draws; and those of Run.restore on the same arrays."""
    use = lambda *words: main(["--mode", "restore", "--workdir", str(trained), *map(str, words)])
    words = ("--input", inputs / "in", "--mask", inputs / "masks", "--n", 2)
    assert use(*words, "--output", inputs / "out") == 0
    assert use(*words, "--output", inputs / "out.npz") == 0
    out = inputs / "out"
    assert {p.relative_to(out).as_posix() for p in out.rglob("*.*")} == {
        *("a_1.png", "a_2.png", "deep/b_1.png", "deep/b_2.png")
    }
    with Image.open(inputs / "out.png") as picture:
        assert picture.size[0] > 100
    with np.load(inputs / "out.npz") as file:
        found = dict(file)
    assert (found["images"].shape, found["images"].dtype) == ((2, 2, 8, 8, 1), np.uint8)
    assert found["names"].tolist() == ["a.png", "deep/b.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(out / "deep" / "b_2.png")), found["images"][1, 1, ..., 0])
    seen = np.tile(HOLE == 0, (2, 1, 1, 1))
    np.testing.assert_array_equal(found["mask"], seen)
    np.testing.assert_array_equal(found["observed"][seen], PICTURES[seen])
    draws = sde_vae.load(trained).restore(PICTURES, n=2, mask=seen)
    np.testing.assert_array_equal(np.round(draws * 255).astype(np.uint8), found["images"])
    assert use(*words, "--output", out) == 2
    assert "out exists and is not overwritten" in capsys.readouterr().err


def test_images_of_a_split_are_observed_first(trained, tmp_path, monkeypatch):
    run, seen = sde_vae.load(trained), {}
    monkeypatch.setattr(
        Run, "restore", lambda self, y, n, seed, progress: seen.update(y=y) or np.zeros((len(y.y), n, 8, 8, 1))
    )
    restore_to(run, "valid", None, 1, 3, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as file:
        found = dict(file)
    assert found["names"][0] == "valid_000"
    assert found["images"].shape == (360, 1, 8, 8, 1)
    np.testing.assert_array_equal(found["mask"].sum((1, 2, 3)), 48)
    np.testing.assert_array_equal(seen["y"].mask, run.observe(run.images("valid", 360), seed=3).mask)


def test_small_pictures_have_the_size_that_the_task_makes(trained, tmp_path, monkeypatch):
    run, made = with_task(trained, **{"task.name": "super_resolution", "task.factor": 2}), []
    monkeypatch.setattr(Run, "restore", lambda self, y, n, **_: made.append(y) or np.zeros((len(y.y), n, 8, 8, 1)))
    write(tmp_path / "in", {"a.png": encoded(PICTURES[0, :4, :4])})
    restore_to(run, str(tmp_path / "in"), None, 1, None, tmp_path / "out")
    np.testing.assert_allclose(made[0].y, PICTURES[:1, :4, :4] / 127.5 - 1, atol=1e-6)
    assert made[0].mask is None
    write(tmp_path / "in", {"b.png": encoded(PICTURES[0])})
    message = r"^--input: .*in/b\.png: is 8x8, expected 4x4 pixels: the size that the task super_resolution makes$"
    with pytest.raises(BadInput, match=message):
        restore_to(run, str(tmp_path / "in"), None, 1, None, tmp_path / "other")


def masks_of(inputs, **files):
    write(inputs / "masks", {f"{name}.png": data for name, data in files.items()})


TALL, BLACK = encoded(np.concatenate([HOLE, HOLE])), encoded(np.zeros_like(HOLE))


@pytest.mark.parametrize(
    ("change", "mask", "message"),
    [
        (lambda root: None, None, r"--mask: not given, but the task inpainting needs --mask, white where"),
        (lambda root: None, "nowhere", r"--mask: .*nowhere does not exist; expected a picture, or a folder"),
        (lambda root: masks_of(root, c=encoded(HOLE)), "masks", r"masks/c\.png: .*in has no picture of this name"),
        (
            lambda root: (root / "masks/a.bmp").unlink(),
            "masks",
            r"in/a\.png: .*masks has no mask of this name; add one",
        ),
        (lambda root: masks_of(root, a=encoded(HOLE)), "masks", r"a\.bmp and a\.png, two masks of one picture"),
        (lambda root: masks_of(root, **{"deep/b": TALL}), "masks", r"b\.png: is 8x16, but .*in/deep/b\.png is 8x8"),
        (lambda root: masks_of(root, **{"deep/b": BLACK}), "masks", r"masks/deep/b\.png: has no white pixel"),
        (lambda root: masks_of(root, **{"deep/b": b"no picture"}), "masks", r"masks/deep/b\.png: not a picture in"),
        (lambda root: write(root / "in", {"a.jpg": encoded(HOLE)}), "masks/deep/b.png", r"--output: several images"),
    ],
)
def test_what_does_not_go_together_is_refused_by_the_file(trained, inputs, capsys, change, mask, message):
    change(inputs)
    words = [] if mask is None else ["--mask", str(inputs / mask)]
    words += ["--input", str(inputs / "in"), "--output", str(inputs / "out")]
    assert main(["--mode", "restore", "--workdir", str(trained), *words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(message, line), line
    assert not (inputs / "out").exists()


def test_a_mask_of_another_task_and_a_run_without_a_task_are_refused(trained, inputs, capsys):
    restore = lambda run, source="in", mask="masks": restore_to(
        run, str(inputs / source), mask and str(inputs / mask), 1, None, inputs / "out"
    )
    with pytest.raises(BadInput, match=r"^--mask: got .*masks, but the task deblurring has none; leave it out$"):
        restore(with_task(trained, **{"task.name": "deblurring"}))
    with pytest.raises(BadInput, match=r"^--input: got .*nowhere', expected a folder or zip that exists, or a split"):
        restore(sde_vae.load(trained), "nowhere")
    with pytest.raises(BadInput, match=r"^--mask: got masks, but images of the split test are observed with masks"):
        restore_to(sde_vae.load(trained), "test", "masks", 1, None, inputs / "out")
    prior = Run(trained, load_config("prior_digits"))
    with pytest.raises(BadInput, match="--mode restore: a diffusion model observes nothing of an image; take a run of"):
        restore(prior)
    words = ["--mode", "reconstruct", "--workdir", str(trained), "--mask", "m.png"]
    assert main(words) == 2
    assert "--mask: belongs to --mode restore, not to reconstruct" in capsys.readouterr().err


def test_a_mask_is_prepared_as_its_picture_and_grows_by_the_pixels_that_it_touches(tmp_path):
    """Twice the size: a hole of 1 pixel hides those that the filter mixes it into. One mask may serve all; painted on transparent ground too."""
    picture, mask = np.full((16, 24, 3), 100, np.uint8), np.zeros((16, 24, 4), np.uint8)
    picture[7, 12] = 255
    mask[7, 12] = 255
    write(tmp_path / "in", {"a.png": encoded(picture), "b.png": encoded(picture)})
    write(tmp_path, {"mask.png": encoded(mask)})
    given = options(None, tmp_path)
    names, y = read_observations(tmp_path / "in", given)
    seen = read_masks(tmp_path / "mask.png", tmp_path / "in", names, given)
    assert seen.shape == (2, 8, 8, 1)
    np.testing.assert_array_equal(y[0] == 100, np.broadcast_to(seen[0], (8, 8, 3)))
    assert 1 <= (1 - seen[0]).sum() <= 9
