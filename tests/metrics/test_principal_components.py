"""Principal components, and what stands on them, of data without any variance."""

import numpy as np
import pytest

from sde_vae.evaluators.reconstruction import pca_reconstruction
from sde_vae.metrics.latent.attribute_classifier import fit_attribute_classifier
from sde_vae.metrics.principal_components import EXACT_ENTRIES, fit_pca


@pytest.mark.parametrize("dim", [5, EXACT_ENTRIES + 1])
def test_components_span_the_data_and_are_orthonormal(dim):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 2)) @ rng.normal(size=(2, dim)) + rng.normal(size=dim)[None, :]
    pca = fit_pca(x, 2)
    assert pca is not None
    np.testing.assert_allclose(pca.inverse_transform(pca.transform(x)), x, atol=1e-9)
    np.testing.assert_allclose(pca.components_ @ pca.components_.T, np.eye(2), atol=1e-9)


@pytest.mark.parametrize("n", [1, 4])
def test_equal_rows_have_none(n):
    assert fit_pca(np.full((n, 3), 0.25), 2) is None


def test_equal_images_are_reconstructed_as_their_mean_and_have_the_commonest_value():
    train, test = np.full((6, 4, 4, 1), 0.25, np.float32), np.zeros((3, 4, 4, 1), np.float32)
    assert np.array_equal(pca_reconstruction(train, test, 2), train[:3])
    classify = fit_attribute_classifier(train, np.array([[0], [1], [1], [2], [1], [0]]), [0])
    assert classify(test)[0].tolist() == [1, 1, 1]
