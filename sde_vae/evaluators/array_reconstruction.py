"""Encode held-out arrays that are no images, decode them, and measure the distances; beside them two baselines, PCA and the mean."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from sde_vae.data.dataset import evenly_spaced
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.reconstruction import pca_projection
from sde_vae.files import write_arrays
from sde_vae.inference.aggregate_posterior import sample_posterior
from sde_vae.inference.decoding import COUNTED
from sde_vae.inference.model import latent_evaluations
from sde_vae.keys import generator
from sde_vae.metrics.image.distances import l2, mse, standard_error


def array_reconstruction(context: EvalContext, fitted: int = 20_000, shown: int = 12) -> Iterator[tuple[str, float]]:
    """Yield reconstruction/* (z ~ q(z | x_0)), reconstruction_of_mean/* (z its mean) and baseline/{pca,mean}/*, the means over the examples.

    l2 and mse are in the user's units. standardised_mse has every dimension in units of its standard deviation over the training split: the
    mean of that split has about 1. `fitted` training examples fit the baselines. reconstructions.npz has the first `shown` examples.
    """
    test, scaling = context.data.test, context.data.scaling
    if scaling is None:
        raise TypeError("array_reconstruction is for arrays that are no images")
    index = np.arange(len(test), dtype=np.int32)
    q = context.encode(test)
    z = sample_posterior(q, generator(context.seed, "posterior"))
    train = evenly_spaced(context.data.train, fitted)
    found = {
        "reconstruction": context.decode(z, index, "reconstruct"),
        "reconstruction_of_mean": context.decode(q.mean, index, "reconstruct from the mean"),
        "baseline/pca": pca_projection(train, test, context.latent),
        "baseline/mean": np.broadcast_to(train.mean(axis=0), test.shape),
    }
    original = scaling.to_user(test)
    for name, x in found.items():
        values = {"l2": l2(scaling.to_user(x), original), "mse": mse(scaling.to_user(x), original)}
        for metric, of in (values | {"standardised_mse": mse(x, test)}).items():
            yield f"{name}/{metric}", float(of.mean(dtype=np.float64))
            yield f"{name}/{metric}_stderr", standard_error(of)
    evaluations = latent_evaluations(context.model, jnp.asarray(q.mean[:COUNTED]), test[:COUNTED].shape)
    yield "reconstruction/nfe", float(evaluations)
    yield "latent/kl", float(np.mean(q.kl_to_standard()))
    examples = {name: scaling.to_user(x[:shown]) for name, x in ({"original": test} | found).items()}
    write_arrays(context.figures / "reconstructions.npz", **examples)
