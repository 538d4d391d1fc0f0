"""Pairs of pictures from a folder to restorations: trained, evaluated, restored, and in the hand from Python."""

import json

import numpy as np
import pytest
from PIL import Image

import sde_vae
from sde_vae.build import conditional
from sde_vae.build.config import load_config, set_fields
from sde_vae.build.data import example_shape
from sde_vae.build.experiment import build
from sde_vae.cli import main
from sde_vae.data.io.records import FirstChannels
from sde_vae.errors import BadInput
from sde_vae.evaluators.restoration import at_image_size
from sde_vae.methods.observation import Measurement, Paired, paired
from sde_vae.training.logs import read
from sde_vae.types import Condition
from tests.helpers.files import encoded, noise, write
from tests.helpers.small import pixelwise
from tests.helpers.traced import trace_steps

pytestmark = pytest.mark.usefixtures("linear")

N = 20
X, Y = noise(N), noise(N, channels=1, seed=1)
PAIRS = {"data.name": "pairs", "task.name": "pairs", "data.channels": 3, "task.y_channels": 1}
SMALL = PAIRS | {
    "stages.encoder.steps": 1,
    "stages.encoder.batch_size": 8,
    "stages.encoder.preview_every": 1,
    "sampling.steps": 1,
    "eval.n": 4,
    "eval.batch_size": 8,
    "eval.split": "valid",
    "eval.lpips": (),
    "eval.extractor": "none",
}


@pytest.fixture(scope="module")
def linear():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conditional, "build_image_network", pixelwise)
        yield


@pytest.fixture(scope="module")
def trained(linear, tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    split = lambda i: "train" if i < 16 else "val"
    pictures = (("A", Y), ("B", X))
    write(
        root / "data", {f"{side}/{split(i)}/{i:02}.png": encoded(x) for side, xs in pictures for i, x in enumerate(xs)}
    )
    changes = SMALL | {"data.dir": str(root / "data"), "data.cache": str(root / "cache")}
    assert sde_vae.train(set_fields(load_config("cmde_digits"), changes), root / "run")
    return root


def test_from_training_to_files(trained, tmp_path):
    run, restored = trained / "run", tmp_path / "out"
    assert len(read(run / "encoder" / "metrics.jsonl")) == 1
    use = lambda mode, *words: main(["--mode", mode, "--workdir", str(run), *map(str, words)])
    assert use("eval") == 0
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert {"restoration/l2", "restoration/crps"} <= metrics.keys()
    # There is no operator to be consistent with: the figure is absent, and not 0.
    assert not [name for name in metrics if "consistency" in name]
    assert (run / "eval" / "restorations.png").is_file()
    assert use("restore", "--input", trained / "data" / "A" / "val", "--output", restored, "--n", 1) == 0
    assert sorted(p.name for p in restored.iterdir()) == [f"{i}_1.png" for i in range(16, 20)]
    assert np.asarray(Image.open(restored / "16_1.png")).shape == (8, 8, 3)
    assert use("restore", "--input", "valid", "--output", tmp_path / "v.npz", "--n", 1) == 0
    with np.load(tmp_path / "v.npz") as file:
        found = dict(file)
    np.testing.assert_array_equal(found["observed"], Y[16:])
    np.testing.assert_array_equal(found["images"][0, 0], np.asarray(Image.open(restored / "16_1.png")))
    hand = sde_vae.load(run)
    examples = hand.images("valid", 4)
    np.testing.assert_allclose(examples, np.concatenate([X[16:], Y[16:]], axis=-1) / 255, atol=1e-6)
    np.testing.assert_allclose(hand.observe(examples).y, Y[16:] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(np.round(hand.restore(Y[16:], n=1) * 255).astype(np.uint8), found["images"])
    assert hand.sample(2).shape == (2, 8, 8, 3)


def test_the_prior_of_bayes_rule_trains_on_x_alone(trained):
    config = set_fields(
        sde_vae.load(trained / "run").config,
        {"method": "bayes", "model.prior.multipliers": 1, "stages.prior.batch_size": 8},
    )
    experiment = build(config)
    assert experiment.shape == (8, 8, 3)
    images = experiment.stages[0].open_data(None).images
    assert isinstance(images, FirstChannels)
    np.testing.assert_array_equal(np.stack(images.__getitems__(range(16))), X[:16])
    np.testing.assert_array_equal(images[3], X[3])
    assert experiment.stages[1].open_data(None).images[0].shape == example_shape(config) == (8, 8, 4)
    trace_steps(experiment, {"encoder": example_shape(config)})


@pytest.mark.parametrize(("of_x", "of_y"), [(3, 1), (1, 3), (3, 3), (1, 4)])
def test_y_is_shown_in_the_channels_of_x(of_x, of_y):
    measurement = Measurement(paired(of_x), Paired())
    y = np.random.default_rng(0).uniform(-1, 1, (2, 4, 4, of_y)).astype(np.float32)
    found = at_image_size(measurement, Condition(y, None, None), np.zeros((2, 4, 4, of_x), np.float32))
    assert found.shape == (2, 4, 4, of_x)
    np.testing.assert_allclose(found.mean(-1), y[..., :3].mean(-1), atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"method": "score_vae"},
            "config.method: got score_vae, expected one with a task for config.data.name=pairs: cde",
        ),
        ({"task.name": "edges"}, "config.task.name: got edges, expected pairs, as config.data.name is"),
        ({"data.name": "digits"}, "config.data.name: got digits, expected pairs, as config.task.name is"),
        ({"method": "dps"}, "config.task.name: got pairs, expected a linear task for dps: inpainting"),
        (
            {"method": "bayes", "eval.evaluators": "samples"},
            "config.eval.evaluators: got samples, which is not defined for pairs; for these there are restoration",
        ),
    ],
)
def test_what_does_not_go_with_pairs_is_refused(changes, message):
    with pytest.raises(BadInput) as error:
        build(set_fields(load_config("cmde_digits"), SMALL | changes))
    assert message in str(error.value)
