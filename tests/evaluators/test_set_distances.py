"""Distances between sets of images as the evaluation reports them, with features that can be computed by hand."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from sde_vae.data.dataset import fingerprint, to_model
from sde_vae.errors import BadInput
from sde_vae.evaluators import set_distances
from sde_vae.evaluators.context import EvalContext, EvalData, MetricNetworks
from sde_vae.metrics.sets.extractors import Extractor
from sde_vae.metrics.sets.frechet import frechet_distance, moments

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 2, 2, 1), dtype=np.uint8)


def extractor(name="flat", verified=False):
    """The pixels themselves, as features."""
    features = lambda images: np.asarray(images, np.float32).reshape(len(images), -1)
    return Extractor(name, 4, features, hashlib.sha256(name.encode()).hexdigest(), "ab", verified)


def make_context(folder, train=IMAGES, **of_extractor):
    """An EvalContext with what set distances read."""
    data = EvalData("flat", fingerprint(train), 256, train, IMAGES[:8], to_model(IMAGES[:8], 256))
    networks = MetricNetworks({}, extractor(**of_extractor), {}, folder)
    nothing = dict.fromkeys(EvalContext._fields)
    return EvalContext(**nothing | {"data": data, "networks": networks, "batch_size": 16, "seed": 0})


def test_only_the_published_inception_gives_fid():
    assert set_distances.fd_name(extractor("inception", verified=True)) == "fid"
    assert set_distances.fd_name(extractor("inception")) == "fd_inception"
    assert set_distances.fd_name(extractor("efflite0", verified=True)) == "fd_efflite0"


def test_images_go_to_the_network_as_they_would_be_saved():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(set_distances.to_bytes(levels / np.float32(255)), levels)


def test_the_moments_of_the_training_set_are_all_of_its_images_and_are_kept(tmp_path):
    context = make_context(tmp_path)
    real = set_distances.train_moments(context)
    whole = moments(IMAGES.reshape(40, -1).astype(np.float32))
    assert real.n == 40
    np.testing.assert_allclose(frechet_distance(real, whole), 0, atol=1e-6)
    networks = context.networks
    kept = context._replace(networks=networks._replace(extractor=extractor()._replace(features=None)))
    np.testing.assert_array_equal(set_distances.train_moments(kept).mean, real.mean)
    # Other weights under the same name are not served from the cache.
    other = context._replace(networks=networks._replace(extractor=extractor()._replace(identity="other")))
    with pytest.raises(BadInput, match="identity"):
        set_distances.train_moments(other)
    # Other images have a place of their own.
    other = make_context(tmp_path, train=IMAGES[::-1].copy())
    assert set_distances.train_moments(other).n == 40
    assert len(list(tmp_path.rglob("moments.npz"))) == 2


def test_two_sets_are_compared_by_frechet_and_kid():
    a, b = RNG.normal(size=(400, 3)).astype(np.float32), RNG.normal(size=(400, 3)).astype(np.float32)
    context = make_context(Path())
    named = dict(set_distances.compare_sets("x", context, a + np.float32(2), b))
    # |shift|^2 = 3 * 4, plus the sampling error of two covariances.
    np.testing.assert_allclose(named["x/fd_flat"], 12, atol=1.5)
    assert named["x/kid_flat"] > 5 * named["x/kid_flat_stderr"] > 0
    same = dict(set_distances.compare_sets("x", context, a, b))
    assert same["x/fd_flat"] < 0.1
    assert abs(same["x/kid_flat"]) < 4 * same["x/kid_flat_stderr"]
