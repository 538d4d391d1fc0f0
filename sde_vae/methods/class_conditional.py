"""The diffusion model of classes s_theta(x, t, c), and without the class s_theta(x, t), in one network.

Labels are left out of a share of the training examples, so that the network learns both scores (classifier-free guidance,
arXiv:2207.12598).
"""

import jax
import jax.numpy as jnp

from sde_vae.arrays import keys_of
from sde_vae.diffusion.losses import denoising
from sde_vae.diffusion.sdes import SDE
from sde_vae.diffusion.time_samplers import TimeSampler
from sde_vae.diffusion.weights import Weight
from sde_vae.methods.method import Method, required
from sde_vae.methods.prior import Prediction, prior_score
from sde_vae.nets.network import Network
from sde_vae.types import Batch, Frozen, Keys, Labels, Metrics, Params, PerExample, Points, PRNGKey, Scalar, ScoreFn


def class_conditional(
    sde: SDE,
    network: Network,
    prediction: Prediction,
    times: TimeSampler,
    weight: Weight,
    classes: int,
    label_dropout: float,
) -> Method:
    """Return the method that trains both scores by denoising score matching. It takes batches with labels 0 .. classes - 1.

    `network` takes a latent of the size `classes`: the label as a one-hot vector, whose embedding is zero where the label is left out.
    `label_dropout` is the share of examples without their label; it must be above 0 for `unconditional` to be trained.
    """

    def conditional(params: Params, label: Labels, keep: PerExample | None, keys: Keys | None) -> ScoreFn:
        return prior_score(sde, network, prediction, params, keys, z=jax.nn.one_hot(label, classes), keep=keep)

    def loss(params: Params, frozen: Frozen, key: PRNGKey, batch: Batch) -> tuple[Scalar, Metrics]:
        del frozen
        # The first two are those of an unconditional prior.
        key, key_dropout, key_keep = jax.random.split(key, 3)
        kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - label_dropout))(keys_of(key_keep, batch.index))
        keys = keys_of(key_dropout, batch.index)
        score = conditional(params, batch.label, kept.astype(jnp.float32), keys)
        total = jnp.mean(denoising(sde, score, times, weight, key, batch))
        return total, {"loss": total}

    def labelled(params: Params, frozen: Frozen, label: Labels) -> ScoreFn:
        del frozen
        return conditional(params, label, None, None)

    def unconditional(params: Params, frozen: Frozen) -> ScoreFn:
        del frozen

        def score(x: Points, t: PerExample) -> Points:
            # Any label: its embedding is multiplied by 0.
            return conditional(params, jnp.zeros(len(t), jnp.int32), jnp.zeros_like(t), None)(x, t)

        return score

    return Method(network.init, loss, unconditional=unconditional, labelled=labelled)


def given_class(method: Method, label: Labels) -> Method:
    """Return the method whose score of x alone is that of x given its class, `label` [batch].

    Bayes' rule holds with everything given the class. So ScoreVAE on given_class(prior, label) is ScoreVAE on a class-conditional prior.
    """
    labelled = required(method.labelled, "labelled")
    return method._replace(unconditional=lambda params, frozen: labelled(params, frozen, label))
