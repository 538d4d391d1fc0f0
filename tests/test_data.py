import numpy as np
import pytest

from sde_vae.data.dataset import batches, to_model, to_unit
from sde_vae.data.digits import digits
from sde_vae.errors import BadInput
from sde_vae.metrics import images as metrics
from sde_vae.streaming import stream


def test_digits_are_split_without_overlap():
    data = digits()
    assert {name: len(x) for name, x in data.splits.items()} == {"train": 1437, "test": 360}
    assert data.shape == (8, 8, 1)
    assert data.splits["train"].dtype == np.uint8
    assert data.splits["train"].max() == data.levels - 1
    with pytest.raises(BadInput, match="digits has no 'valid'; it has train, test"):
        data.split("valid")


def test_scaling_round_trip_is_exact_on_the_levels():
    for levels in (17, 256):
        images = np.arange(levels, dtype=np.uint8).reshape(-1, 1, 1, 1)
        x = to_model(images, levels)
        assert (x.min(), x.max()) == (-1, 1)
        np.testing.assert_array_equal(np.round(to_unit(x) * (levels - 1)), images)


def test_a_batch_is_a_function_of_seed_and_step():
    images = np.arange(20, dtype=np.uint8).reshape(-1, 1, 1, 1)
    whole = list(batches(images, 256, 6, 0, 0, 12))
    resumed = list(batches(images, 256, 6, 0, 7, 12))
    for a, b in zip(whole[7:], resumed, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
    other = next(batches(images, 256, 6, 1, 0, 1))
    assert not np.array_equal(other.x, whole[0].x)
    seen = np.concatenate([b.x.ravel() for b in whole])[:60].reshape(3, 20)
    for epoch in seen:
        assert len(set(epoch.tolist())) == 20
    assert not np.array_equal(seen[0], seen[1])


def test_metrics_on_a_case_done_by_hand():
    x, y = np.zeros((2, 2, 2, 1)), np.zeros((2, 2, 2, 1))
    x[0, 0, 0, 0], x[1] = 0.5, 1.0
    np.testing.assert_allclose(metrics.l2(x, y), [0.5, 2.0])
    np.testing.assert_allclose(metrics.mse(x, y), [0.0625, 1.0])
    np.testing.assert_allclose(metrics.standard_error(np.array([1.0, 3.0])), 1.0)
    with pytest.raises(ValueError, match="one shape"):
        metrics.l2(x, y[:1])


def test_stream_cuts_the_filling_of_the_last_batch():
    sizes = []

    def double(x, index):
        sizes.append(len(x))
        return 2 * x + index[:, None]

    x, index = np.arange(14.0).reshape(7, 2), np.arange(7.0)
    np.testing.assert_array_equal(stream(double, 3, x, index), 2 * x + index[:, None])
    assert sizes == [3, 3, 3]
