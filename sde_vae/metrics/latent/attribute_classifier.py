"""What an image shows, by a classify that has never seen the model: Fisher's linear discriminants of its pixels."""

from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from sde_vae.data.dataset import take, to_model, to_unit
from sde_vae.evaluators.context import EvalContext

# It sees so many principal components, and none with less than this share of the variance, which may be rounding.
COMPONENTS, LEAST = 64, 1e-4
# Images on [0, 1] -> column of the attributes -> the value that each image has
AttributeClassifier = Callable[[np.ndarray], dict[int, np.ndarray]]


def fit_attribute_classifier(context: EvalContext, rows: np.ndarray, columns: list[int]) -> AttributeClassifier:
    """Of the attributes' `columns`, taught by the training images `rows`, among which each of them has at least two values."""
    data = context.data
    train = _flat(to_unit(to_model(take(data.train, rows), data.levels)))
    # Exact where that is cheap, as in `reconstruction.by_pca`.
    solver = "covariance_eigh" if train.shape[1] <= 1024 else "randomized"
    pca = PCA(min(COMPONENTS, *train.shape), svd_solver=solver, iterated_power=7, random_state=0).fit(train)
    seen = pca.explained_variance_ratio_ > LEAST
    codes = pca.transform(train)[:, seen]
    # In closed form, where logistic regressions of many classes would take minutes; Ledoit and Wolf's shrinkage.
    discriminants = {k: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto") for k in columns}
    for k, of_k in discriminants.items():
        of_k.fit(codes, data.attributes.train[rows, k])

    def classify(images: np.ndarray) -> dict[int, np.ndarray]:
        codes = pca.transform(_flat(images))[:, seen].astype(np.float64)
        return {k: of_k.predict(codes) for k, of_k in discriminants.items()}

    return classify


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)
