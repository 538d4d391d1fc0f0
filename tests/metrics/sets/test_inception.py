"""The FID's Inception-v3 against its PyTorch twin, with random weights in each of the three file formats."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

torch = pytest.importorskip("torch")

from sde_vae.errors import BadInput
from sde_vae.metrics.networks import inception_weights
from sde_vae.metrics.networks.inception import Inception
from sde_vae.metrics.sets import inception
from sde_vae.metrics.sets.inception import load_inception, prepare
from tests.helpers.inception_twin import random_state, twin_of

IMAGES = np.random.default_rng(1).integers(0, 256, (2, 40, 32, 3), dtype=np.uint8)
FORMATS = ("state_dict.pth", "jax_fid.pickle", "state_dict.safetensors")
LEAVES = {leaf: name for name, leaf in inception_weights.JAX_FID.items()}


def nested(state):
    """The state dict in jax-fid's layout: a dict for each module, HWIO kernels."""
    tree = {}
    for name, array in state.items():
        *modules, group, leaf = name.split(".")
        if leaf == "num_batches_tracked":
            continue
        group, leaf = LEAVES[f"{group}.{leaf}"].split("/")
        node = tree
        for module in (*modules, group):
            node = node.setdefault(module, {})
        node[leaf] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
    return tree


@pytest.fixture(scope="module")
def tensors():
    return random_state(0)


@pytest.fixture(scope="module")
def state(tensors):
    return {name: tensor.numpy() for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def exact(tensors):
    """The twin's outputs in float64, of the same float32 weights."""
    double = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine torch's threads wait for each other longer than they work
    with torch.no_grad():
        outputs = twin_of(double)(IMAGES)
    torch.set_num_threads(threads)
    return outputs


@pytest.fixture(scope="module")
def files(tmp_path_factory, tensors, state):
    folder = tmp_path_factory.mktemp("weights")
    paths = [folder / name for name in FORMATS]
    torch.save(tensors, paths[0], _use_new_zipfile_serialization=False)
    paths[1].write_bytes(pickle.dumps(nested(state)))
    safetensors.numpy.save_file(state, paths[2])
    yield paths
    for path in paths:
        path.unlink()


@pytest.fixture(scope="module")
def extractors(files):
    return [load_inception(path) for path in files]


def error(ours, exact):
    return np.max(np.abs(np.asarray(ours) - exact)) / np.max(np.abs(exact))


def test_every_block_is_the_twins(state, exact):
    body = {name: state[name] for name in inception_weights.body_shapes()}
    apply = jax.jit(lambda p, x: Inception().apply(p, prepare(x), capture_intermediates=True))
    features, captured = apply(inception_weights.fold(body), IMAGES)
    blocks = {name: out["__call__"][0] for name, out in captured["intermediates"].items() if name != "__call__"}
    assert set(blocks) == set(exact) - {"features", "logits"}
    errors = {name: error(blocks[name], exact[name]) for name in blocks} | {
        "features": error(features, exact["features"])
    }
    assert max(errors.values()) < 1e-5, errors
    spread = np.std(exact["features"], axis=0)
    assert np.mean(spread > 1e-3) > 0.5, "the features do not tell the two images apart: nothing would be tested"


@pytest.mark.slow
def test_each_format_gives_the_twins_features(extractors, exact):
    for extractor, file in zip(extractors, FORMATS, strict=True):
        features = extractor.features(IMAGES)
        assert features.dtype == jnp.float32
        assert error(features, exact["features"]) < 1e-5, file
    assert len({extractor.identity for extractor in extractors}) == 1
    assert [(e.name, e.dim, e.verified) for e in extractors] == [("inception", 2048, False)] * 3


def test_as_many_weights_as_published():
    """torchvision gives its Inception-v3 27,161,264 parameters; we have neither its auxiliary classifier nor its head."""
    shapes = inception_weights.body_shapes()
    learned = sum(int(np.prod(shape)) for name, shape in shapes.items() if "running" not in name)
    auxiliary = (768 * 128 + 2 * 128) + (128 * 768 * 25 + 2 * 768) + (768 * 1000 + 1000)
    assert learned + auxiliary + (2048 * 1000 + 1000) == 27_161_264


@pytest.mark.parametrize("side", [(32, 32), (28, 400), (513, 300)], ids=str)
def test_the_resize_is_torchs(side):
    """Up to the float32 rounding of a sample's place: one ulp of the side, at the steepest slope, 2 a pixel; 8e-6 at 32."""
    tolerance = 2 * max(side) * np.finfo(np.float32).eps
    images = np.random.default_rng(2).integers(0, 256, (1, *side, 3), dtype=np.uint8)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255
    theirs = torch.nn.functional.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(prepare(images), 2 * theirs.permute(0, 2, 3, 1).numpy() - 1, rtol=0, atol=tolerance)


def test_grey_is_repeated():
    grey = IMAGES[..., :1]
    np.testing.assert_array_equal(prepare(grey), prepare(np.repeat(grey, 3, axis=-1)))


@pytest.mark.parametrize("images", [IMAGES / 255, IMAGES[0], IMAGES[..., :2]], ids=["float", "single", "two channels"])
def test_only_8_bit_images(images):
    with pytest.raises(BadInput, match="expected uint8"):
        prepare(images)


def test_verified_means_the_published_file(files, monkeypatch):
    for digest, name in inception_weights.PUBLISHED.items():
        assert len(bytes.fromhex(digest)) == 32, name
    torchs = next(iter(inception_weights.PUBLISHED.items()))
    assert torchs[1] == f"pt_inception-2015-12-05-{torchs[0][:8]}.pth", "torch.hub's names end in the digest's first 8"
    monkeypatch.setattr(inception, "PUBLISHED", {inception.sha256(files[2]): files[2].name})
    assert load_inception(files[2]).verified


def test_the_identity_is_of_the_arrays(state):
    digest = inception_weights.digest
    small = {name: state[name] for name in list(state)[:5]}
    assert digest(small) == digest(dict(reversed(small.items())))
    assert digest(small) == digest({name: np.asfortranarray(array) for name, array in small.items()})
    for name, array in small.items():
        nudged = array.copy()
        nudged.flat[0] = np.nextafter(nudged.flat[0], np.inf)
        assert digest(small) != digest(small | {name: nudged}), name


KERNEL, VARIANCE = "Mixed_7c.branch_pool.conv.weight", "Mixed_6a.branch3x3.bn.running_var"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop(KERNEL), rf"{KERNEL}.*\[192, 2048, 1, 1\], is missing"),
        (
            lambda s: s.update({KERNEL: s[KERNEL].transpose(2, 3, 1, 0)}),
            rf"{KERNEL}.*expected shape \[192, 2048, 1, 1\], found \[1, 1, 2048, 192\]",
        ),
        (lambda s: s.update({VARIANCE: s[VARIANCE].astype(np.int64)}), rf"{VARIANCE}.*expected floats, found int64"),
        (lambda s: s.update({VARIANCE: -s[VARIANCE]}), rf"{VARIANCE}.*variances from zero up"),
        (lambda s: s.update({VARIANCE: s[VARIANCE] * np.nan}), rf"{VARIANCE}.*finite"),
        (lambda s: s.update({"Conv2d_1a_3x3.conv.bias": s["fc.bias"]}), r"Conv2d_1a_3x3\.conv\.bias.*no place"),
        (
            lambda s: s.update({"fc.weight": s["fc.weight"][:1000], "fc.bias": s["fc.bias"][:1000]}),
            r"fc\.weight.*expected shape \[1008, 2048\], found \[1000, 2048\]",
        ),
        (lambda s: s.pop("fc.bias"), r"fc\.bias.*missing"),
    ],
    ids=["missing", "transposed", "integers", "negative", "nan", "unknown", "1000 classes", "half a head"],
)
def test_another_network_is_refused(change, message, state, monkeypatch, tmp_path):
    changed = dict(state)
    change(changed)
    monkeypatch.setattr(inception_weights, "read_arrays", lambda path: changed)
    with pytest.raises(BadInput, match=rf"weights\.pth.*{message}"):
        load_inception(tmp_path / "weights.pth")


def test_a_file_without_a_head_has_features_only(state, monkeypatch, tmp_path):
    body = {name: array for name, array in state.items() if not name.startswith("fc.")}
    monkeypatch.setattr(inception_weights, "read_arrays", lambda path: body)
    assert set(inception_weights.read_state(tmp_path)) == set(inception_weights.body_shapes())


def test_jax_fids_names_in_a_refusal(state, monkeypatch, tmp_path):
    """Nested layouts that are not jax-fid's are refused by the first name that is not there, and so is any other file."""
    tree = {f"params/{name.replace('.', '/')}": array for name, array in state.items()}
    monkeypatch.setattr(inception_weights, "read_arrays", lambda path: tree)
    with pytest.raises(BadInput, match=r"weights\.pickle.*Conv2d_1a_3x3\.conv\.weight.*missing"):
        load_inception(tmp_path / "weights.pickle")


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_text("not weights")
    with pytest.raises(BadInput, match=r"weights\.pth"):
        load_inception(path)
