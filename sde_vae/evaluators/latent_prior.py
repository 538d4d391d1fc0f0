"""New images from new codes: z from a prior of the latent space, decoded. Whose codes does the decoder know what to do with?"""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.set_distances import against_train, features
from sde_vae.inference.aggregate_posterior import aggregate_posterior
from sde_vae.inference.sampling import from_prior, make_sampler
from sde_vae.metrics.latent import gaussian
from sde_vae.metrics.latent.gaussian import LatentGaussian
from sde_vae.reporting import plots

SHOWN = 12
# (generator, n) -> n codes [n, latent], float32
DrawLatents = Callable[[np.random.Generator, int], np.ndarray]


def latent_priors(context: EvalContext) -> dict[str, DrawLatents]:
    """normal: N(0, I), which the aggregate posterior would be if the KL were won; gaussian: with the moments that it has; diffusion:
    the diffusion model of codes, if one was trained, drawn from by the method's own solver.

    A prior of another kind is one more entry.
    """
    fitted = aggregate_posterior(context.encode, context.data.train, context.data.levels)
    found = {"normal": gaussian.standard(context.latent).sample, "gaussian": fitted.sample}
    return found | ({"diffusion": by_diffusion(context, fitted)} if context.model.latent_prior else {})


def by_diffusion(context: EvalContext, fitted: LatentGaussian) -> DrawLatents:
    """The model's draws are standardised codes: the moments of the aggregate posterior make codes of them."""
    # Another key than that of the images: the noise of a code would be the first pixels' of the image it decodes to.
    key = jax.random.fold_in(jax.random.key(context.seed), 1)
    generate = from_prior(context.model.decoder, context.model.latent_prior, (context.latent,))
    sample = make_sampler(generate, context.batch_size, context.cache)

    def draw(generator: np.random.Generator, n: int) -> np.ndarray:
        u = sample(key, np.arange(n, dtype=np.int32), "latent codes by diffusion")
        return (fitted.mean[None] + fitted.std[None] * u).astype(np.float32)

    return draw


def latent_prior(context: EvalContext) -> Iterator[tuple[str, float]]:
    """latent_prior/NAME/fd_* and kid_*, to the training set, of as many images as `samples` draws.

    Image i has the same x_T whatever the prior: what differs is z.
    """
    index, shown = np.arange(context.samples, dtype=np.int32), {}
    for name, draw in latent_priors(context).items():
        z = draw(np.random.default_rng(context.seed), len(index))
        drawn = to_unit(context.decode(z, index, f"decode the latent prior, {name}"))
        shown[name] = drawn[:SHOWN]
        if context.networks.extractor:
            ours = features(context, drawn, f"the latent prior, {name}")
            yield from against_train(f"latent_prior/{name}", context, ours, len(drawn))
    yield "latent_prior/n", float(len(index))
    plots.rows(shown, context.figures / "latent_prior.png")
