"""EfficientNet-Lite0: the depthwise sum against XLA's convolution, the network against a PyTorch twin of its weights."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

from sde_vae.errors import BadInput
from sde_vae.metrics.networks.efficientnet_lite import Layer, depthwise
from sde_vae.metrics.sets import efficientnet
from sde_vae.pretrained.arrays import read_arrays

SIDE = 64


@pytest.fixture(scope="module")
def path():
    return efficientnet._installed()


@pytest.fixture(scope="module")
def extractor(path):
    return efficientnet.load_efficientnet(path, SIDE)


@pytest.fixture(scope="module")
def arrays(path):
    return read_arrays(path)


def images(n, side, channels, seed=0):
    """Smooth random images with the full range of values."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 4, 4, channels)).astype(np.float32)
    x = jax.image.resize(jnp.asarray(coarse), (n, side, side, channels), "bilinear")
    return np.asarray(x).round().astype(np.uint8)


class Twin:
    """The same network in PyTorch, float64, from the published description: batch norms apart, sizes read off the arrays."""

    def __init__(self, arrays):
        self.a = {name: torch.tensor(np.array(array)).double() for name, array in arrays.items()}

    def layer(self, x, conv, norm, stride=1, relu=True):
        w = self.a[f"{conv}.weight"]
        k, size = w.shape[-1], x.shape[-1]
        total = max((-(-size // stride) - 1) * stride + k - size, 0)  # TensorFlow's "SAME"
        x = F.pad(x, [total // 2, total - total // 2] * 2)
        x = F.conv2d(x, w, stride=stride, groups=x.shape[1] // w.shape[1])
        mean, var, gain, shift = (self.a[f"{norm}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
        x = F.batch_norm(x, mean, var, gain, shift, training=False, eps=1e-3)
        return F.relu6(x) if relu else x

    def __call__(self, images, side):
        x = torch.tensor(images).double().permute(0, 3, 1, 2)
        x = F.interpolate(x, (side, side), mode="bilinear", align_corners=False, antialias=True)
        x = self.layer((x.expand(-1, 3, -1, -1) - 127) / 128, "_conv_stem", "_bn0", 2)
        for i in range(16):
            name, h = f"_blocks.{i}", x
            if i > 0:
                h = self.layer(h, f"{name}._expand_conv", f"{name}._bn0")
            h = self.layer(h, f"{name}._depthwise_conv", f"{name}._bn1", 2 if i in (1, 3, 5, 11) else 1)
            h = self.layer(h, f"{name}._project_conv", f"{name}._bn2", relu=False)
            x = x + h if x.shape == h.shape else h
        return self.layer(x, "_conv_head", "_bn1").mean((2, 3)).numpy()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("k", [3, 5])
def test_the_depthwise_sum_is_the_grouped_convolution(k, stride):
    """On an odd number of rows and an even one of columns: their padding differs at stride 2."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, 7, 12, 6))
    layer = Layer(jax.random.normal(keys[1], (k, k, 1, 6)), jax.random.normal(keys[2], (6,)))
    expected = jax.lax.conv_general_dilated(
        x, layer.w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=6
    )
    found = jax.jit(depthwise, static_argnums=2)(layer, x, stride)
    np.testing.assert_allclose(found, expected + layer.b[None, None, None, :], atol=1e-5)


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (96, 3)])
def test_features_are_the_pytorch_twins(extractor, arrays, size, channels):
    """Grey images enlarged, coloured ones made smaller; float32 against float64."""
    x = images(3, size, channels)
    expected = Twin(arrays)(x, SIDE)
    found = extractor.features(x)
    assert found.shape == (3, extractor.dim)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    # The twin tells images apart by far more than that.
    assert np.abs(expected[0] - expected[1]).max() > 0.1 * np.abs(expected).max()


def test_a_grey_image_is_three_equal_channels():
    x = images(3, 28, 1)
    grey, colour = (efficientnet.prepare(jnp.asarray(y), SIDE) for y in (x, np.repeat(x, 3, axis=3)))
    np.testing.assert_array_equal(grey, colour)


def test_the_weights_know_a_cup_of_espresso(path, arrays):
    """The photograph of a cup, at the native side, under the weights' own last layer: ImageNet's class 967 is espresso."""
    from skimage import data

    photo = data.coffee()[:, 100:500]
    features = efficientnet.load_efficientnet(path, 224).features(photo[None])
    logits = np.asarray(features) @ arrays["_fc.weight"].T + arrays["_fc.bias"]
    assert np.argmax(logits) == 967


def test_the_installed_weights_are_the_known_ones(path, extractor):
    assert hashlib.sha256(path.read_bytes()).hexdigest() == efficientnet.SHA256
    assert efficientnet.SHA256.startswith(path.stem.rsplit("-", 1)[1])
    assert extractor.verified
    assert efficientnet.load_efficientnet(side=SIDE).identity == extractor.identity


def test_the_side_and_the_weights_are_in_the_identity(tmp_path, path, extractor, arrays):
    assert efficientnet.load_efficientnet(path).identity != extractor.identity
    changed = {name: torch.tensor(np.array(array)) for name, array in arrays.items()}
    changed["_conv_stem.weight"][0, 0, 0, 0] += 1
    torch.save(changed, tmp_path / "other.pth")
    other = efficientnet.load_efficientnet(tmp_path / "other.pth", SIDE)
    assert other.identity != extractor.identity
    assert not other.verified


@pytest.mark.parametrize("spoil", [lambda a: a.pop("_bn1.bias"), lambda a: a.update({"_bn1.bias": np.zeros(7)})])
def test_arrays_that_do_not_fit_are_named(path, arrays, spoil):
    spoilt = dict(arrays)
    spoil(spoilt)
    with pytest.raises(BadInput, match=r"_bn1\.bias.*\[1280\], found (nothing|\[7\])"):
        efficientnet.weights_of(spoilt, path)


def test_a_missing_distribution_names_the_extra(monkeypatch):
    monkeypatch.setattr(efficientnet, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(BadInput, match=r'pip install -e "\.\[metrics\]"'):
        efficientnet.load_efficientnet()


def test_other_images_and_sides_are_refused(extractor, path):
    for wrong in (np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.uint8)):
        with pytest.raises(BadInput, match="uint8"):
            extractor.features(wrong)
    with pytest.raises(BadInput, match="multiple of 32"):
        efficientnet.load_efficientnet(path, 100)
