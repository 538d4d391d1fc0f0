"""The attribute classifier: Fisher's linear discriminants of the pixels, the same for all evaluated models."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Real
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from sde_vae.metrics.principal_components import fit_pca

# The largest number of principal components, and their least share of the variance: smaller ones may be rounding.
COMPONENTS, MIN_VARIANCE = 64, 1e-4
# AttributeClassifier(images [n, H, W, C] on [0, 1]) -> column of the attributes -> predicted value of each image [n]
AttributeClassifier = Callable[[np.ndarray], dict[int, np.ndarray]]


def fit_attribute_classifier(
    images: Float[np.ndarray, "n height width channels"],
    labels: Real[np.ndarray, "n attributes"],
    columns: Sequence[int],
) -> AttributeClassifier:
    """Fit a classifier of the attributes `columns` to images on [0, 1]. Each attribute has at least two values among the images.

    Discriminants have a closed form, while logistic regressions of many classes would take minutes. The covariance has Ledoit and
    Wolf's shrinkage (2004). Where all images are equal, the commonest value is predicted.
    """
    train = _flat(images)
    pca = fit_pca(train, COMPONENTS)
    if pca is None:
        counted = {k: np.unique(labels[:, k], return_counts=True) for k in columns}
        commonest = {k: values[counts.argmax()] for k, (values, counts) in counted.items()}
        return lambda images: {k: np.full(len(images), value) for k, value in commonest.items()}
    used = pca.explained_variance_ratio_ > MIN_VARIANCE
    components = pca.transform(train)[:, used]
    discriminants = {k: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto") for k in columns}
    for k, discriminant in discriminants.items():
        discriminant.fit(components, labels[:, k])

    def classify(images: np.ndarray) -> dict[int, np.ndarray]:
        components = pca.transform(_flat(images))[:, used].astype(np.float64)
        return {k: discriminant.predict(components) for k, discriminant in discriminants.items()}

    return classify


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)
