"""Names for the shapes of arrays and for the types of functions.

Every array that passes between modules has the batch first. `t` is a time in [0, T], one per example. `x` is a point of
data space: an image [batch, H, W, C], or a point in the plane [batch, 2]. `z` is a latent vector [batch, latent].
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int, Key

Scalar = Float[Array, ""]
PerExample = Float[Array, "batch"]  # a time, a logSNR, a loss, a log-density
Points = Float[Array, "batch *shape"]
Examples = Float[Array, "batch *example"]  # what a data set holds: x, or x and y in the channels
Observed = Float[Array, "batch *observed"]  # an observation y, of another size than x
Latents = Float[Array, "batch latent"]
# Examples among which low-discrepancy times are spread: a number, or a traced one.
Strata = int | Int[Array, ""]
Indices = Int[Array, "batch"]
Labels = Int[Array, "batch"]  # of classes 0, 1, ...
Keys = Key[Array, "batch"]  # one key per example: see arrays.keys_of
PRNGKey = Key[Array, ""]

# ScoreFn(x, t) -> grad_x log p_t(x | c). The condition c (z, a label, guidance) is closed over, so that solvers, bounds and
# Bayes' rule are each written once.
ScoreFn = Callable[[Points, PerExample], Points]
# LogLikelihoodFn(x, t) -> log p(z | x_t = x), with all terms that depend on x.
LogLikelihoodFn = Callable[[Points, PerExample], PerExample]

Params = Any  # a pytree of arrays
# EMA parameters of the stages that a method depends on, by the stage's name; and what was computed from them.
Frozen = Mapping[str, Params]
Dtype = Any  # jnp.float32 or jnp.bfloat16, as flax takes them
Metrics = dict[str, Scalar]


class Condition(NamedTuple):
    """What is observed of images: the condition of the conditional estimators, in the place of z.

    y [batch, ...] is the observation, and mask [batch, H, W, 1] what the operator drew for each example, or None. seed [batch], uint32,
    fixes the noise of a diffused y.
    """

    y: Any
    mask: Any
    seed: Any


# What a conditional score is conditioned on.
Given = Latents | Condition


class Batch(NamedTuple):
    """The input of one training step.

    index[i] is the place of example i in the *global* batch. All randomness is drawn from (key, index), so results do not
    depend on how many devices share the batch. `step` is the number of updates made so far, for what changes in training.
    It is None outside a training loop. `label` has the classes of the examples, where a method is trained on them.
    """

    x: Any  # Points, on the host or on a device
    index: Any  # Indices
    step: Any = None  # int32, a scalar
    label: Any = None  # Labels
