"""Images of 8x12 from a folder to the report: trained, evaluated, exported, and in the hand from Python."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import sde_vae
from sde_vae.cli import main
from sde_vae.data.dataset import to_bytes
from sde_vae.errors import BadInput
from sde_vae.metrics.image.distances import ssim
from sde_vae.metrics.image.lpips import SHORTEST_SIDE, _scaled
from sde_vae.metrics.sets import efficientnet, inception
from sde_vae.metrics.sets.pixels import load_pixels
from tests.helpers.files import noise

N, HEIGHT, WIDTH = 40, 8, 12
CHANGES = {
    "data.name": "folder",
    "data.image_size": f"{HEIGHT},{WIDTH}",
    "data.channels": 3,
    "model.latent_dim": 3,
    **{f"model.{net}.{field}": n for net in ("prior", "encoder") for field, n in (("channels", 8), ("multipliers", 1))},
    **{
        f"stages.{stage}.{field}": n for stage in ("prior", "encoder") for field, n in (("steps", 2), ("batch_size", 8))
    },
    "sampling.steps": 2,
    "sampling.solver": "ddim",
    "eval.n": 4,
    "eval.samples": 8,
    "eval.batch_size": 8,
    "eval.lpips": "()",
    "eval.extractor": "pixels",
    "eval.evaluators": "reconstruction",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workdir, and the folder of pictures."""
    root = tmp_path_factory.mktemp("rectangles")
    (root / "pictures").mkdir()
    for i, image in enumerate(noise(N, HEIGHT, WIDTH)):
        Image.fromarray(image).save(root / "pictures" / f"{i:02}.png")
    changes = CHANGES | {"data.dir": root / "pictures", "data.cache": root / "cache"}
    fields = [f"--config.{name}={value}" for name, value in changes.items()]
    assert main(["--config", "scorevae_digits", "--mode", "train", "--workdir", str(root / "run"), *fields]) == 0
    return root / "run", root / "pictures"


@pytest.mark.slow
def test_the_commands(trained, tmp_path):
    run, pictures = trained
    use = lambda mode, *words: main(["--mode", mode, "--workdir", str(run), *map(str, words)])
    assert json.loads((run / "config.json").read_text())["config"]["data"]["image_size"] == [HEIGHT, WIDTH]
    assert use("eval") == 0
    assert {p.name for p in (run / "eval").glob("*.png")} >= {"reconstructions.png", "worst.png"}
    assert (run / "eval" / "report.html").is_file()
    assert use("sample", "--n", 2, "--output", tmp_path / "new") == 0
    assert use("reconstruct", "--input", pictures, "--output", tmp_path / "again") == 0
    assert use("encode", "--input", "test", "--output", tmp_path / "codes.npz") == 0
    for file in (tmp_path / "new" / "0.png", tmp_path / "again" / "00.png"):
        with Image.open(file) as picture:
            assert picture.size == (WIDTH, HEIGHT)
    assert np.load(tmp_path / "codes.npz")["mean"].shape == (N // 10, 3)


@pytest.mark.slow
def test_the_run_in_the_hand(trained):
    run = sde_vae.load(trained[0])
    assert run.config.data.image_size == (HEIGHT, WIDTH)
    x = run.images("test", 2)
    shape = (HEIGHT, WIDTH, 3)
    assert x.shape == (2, *shape)
    assert run.reconstruct(x).shape == (2, *shape)
    assert run.sample(2).shape == (2, *shape)
    assert run.interpolate(x[0], x[1], frames=3).shape == (3, *shape)
    assert run.traverse(x[:1], 0, [0.0, 1.0]).shape == (1, 2, *shape)
    with pytest.raises(BadInput, match=r"12, 8, 3"):
        run.encode(x.swapaxes(1, 2))
    np.testing.assert_array_equal(run.encode(to_bytes(x)).mean, run.encode(x).mean)


def test_the_metrics_take_either_orientation():
    """SSIM and the pooled pixels of transposed images are those of the images, transposed; networks get squares or enlarged images."""
    x, y = (noise(2, 12, 20, seed=seed) for seed in (0, 1))
    t = lambda a: np.ascontiguousarray(a.swapaxes(1, 2))
    np.testing.assert_allclose(ssim(x / 255, y / 255), ssim(t(x) / 255, t(y) / 255), rtol=1e-12)
    pooled = lambda a: np.asarray(load_pixels(3).features(a)).reshape(2, 8, 8, 3)
    np.testing.assert_allclose(t(pooled(x)), pooled(t(x)), atol=1e-6)
    assert inception.prepare(x).shape == (2, 299, 299, 3)
    assert efficientnet.prepare(jnp.asarray(x), 64).shape == (2, 64, 64, 3)
    assert _scaled(jnp.asarray(x, jnp.float32) / 255).shape == (2, SHORTEST_SIDE, round(20 * SHORTEST_SIDE / 12), 3)
