"""config.eval -> evaluators, and the data that they evaluate on."""

import numpy as np
from ml_collections import ConfigDict

from sde_vae.build.data import evaluated_split
from sde_vae.build.fields import ARRAYS, HAS_LABELS
from sde_vae.data.dataset import Dataset, fingerprint, take, to_model
from sde_vae.errors import choose
from sde_vae.evaluators.array_reconstruction import array_reconstruction
from sde_vae.evaluators.bits_per_dim import bits_per_dim
from sde_vae.evaluators.context import Attributes, EvalData, Evaluator
from sde_vae.evaluators.edits import edits
from sde_vae.evaluators.elbo_vs_steps import elbo_vs_steps
from sde_vae.evaluators.importance import importance
from sde_vae.evaluators.interpolation import interpolation
from sde_vae.evaluators.inversion import inversion
from sde_vae.evaluators.labels import labels
from sde_vae.evaluators.latent_prior import latent_prior
from sde_vae.evaluators.latents import latents
from sde_vae.evaluators.moments import moments
from sde_vae.evaluators.multi_sample import multi_sample
from sde_vae.evaluators.neighbours import neighbours
from sde_vae.evaluators.nll_bound import nll_bound
from sde_vae.evaluators.noise_levels import noise_levels
from sde_vae.evaluators.reconstruction import reconstruction
from sde_vae.evaluators.restoration import restoration
from sde_vae.evaluators.samples import samples
from sde_vae.evaluators.sliced_wasserstein import sliced_wasserstein
from sde_vae.evaluators.trajectory_consistency import trajectory_consistency
from sde_vae.evaluators.traversal import traversal

EVALUATORS = {
    "reconstruction": reconstruction,
    "inversion": inversion,
    "samples": samples,
    "bits_per_dim": bits_per_dim,
    "importance": importance,
    "elbo_vs_steps": elbo_vs_steps,
    "multi_sample": multi_sample,
    "noise_levels": noise_levels,
    "trajectory_consistency": trajectory_consistency,
    "latents": latents,
    "interpolation": interpolation,
    "traversal": traversal,
    "edits": edits,
    "neighbours": neighbours,
    "latent_prior": latent_prior,
    "moments": moments,
    "sliced_wasserstein": sliced_wasserstein,
    "nll_bound": nll_bound,
    "restoration": restoration,
    "labels": labels,
}
# What a name stands for where the data are arrays that are no images.
OF_ARRAYS = EVALUATORS | {"reconstruction": array_reconstruction}


def build_evaluators(config: ConfigDict) -> dict[str, Evaluator]:
    """Return the evaluators that config.eval names."""
    table = OF_ARRAYS if config.data.name == ARRAYS else EVALUATORS
    return {name: choose("config.eval.evaluators", name, table) for name in config.eval.evaluators}


def build_eval_data(config: ConfigDict, data: Dataset) -> EvalData:
    """Return the training images, the evaluated split, and the first config.eval.n images of that split."""
    train, held_out = data.split("train"), evaluated_split(config, data)
    test = data.splits[config.eval.split].attributes
    n = min(config.eval.n, len(held_out))
    known = train.attributes is not None and test is not None
    return EvalData(
        data.name,
        fingerprint(train.images),
        data.levels,
        train.images,
        held_out,
        to_model(take(held_out, np.arange(n)), data.levels),
        Attributes(data.attributes, np.asarray(train.attributes), np.asarray(test)[:n], data.values) if known else None,
        data.render,
        data.scaling,
        config.labels.attribute if HAS_LABELS.holds(config) else "",
    )
