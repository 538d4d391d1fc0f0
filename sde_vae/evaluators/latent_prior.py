"""New images from new z: drawn from priors of the latent space, and decoded."""

from collections.abc import Callable, Iterator

import numpy as np

from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.set_distances import compare_to_train, features
from sde_vae.inference.aggregate_posterior import aggregate_posterior
from sde_vae.inference.sampling import from_prior, make_sampler
from sde_vae.keys import generator, stream
from sde_vae.methods.method import required
from sde_vae.metrics.latent import gaussian
from sde_vae.metrics.latent.gaussian import LatentGaussian
from sde_vae.reporting import plots

# DrawLatents(generator, n) -> n latent codes [n, latent], float32
DrawLatents = Callable[[np.random.Generator, int], np.ndarray]


def latent_priors(context: EvalContext) -> dict[str, DrawLatents]:
    """Return the priors of z by name.

    normal      N(0, I)
    gaussian    the Gaussian with the moments of the aggregate posterior
    diffusion   the diffusion model of latent codes, if one was trained, sampled by the method's own solver
    """
    aggregate = aggregate_posterior(context.encode, context.data.train, context.data.levels)
    found = {"normal": gaussian.standard(context.latent).sample, "gaussian": aggregate.sample}
    return found | ({"diffusion": diffusion_prior(context, aggregate)} if context.model.latent_prior else {})


def diffusion_prior(context: EvalContext, aggregate: LatentGaussian) -> DrawLatents:
    """Return a sampler of the diffusion model of standardised codes, scaled back by the aggregate posterior's moments."""
    key = stream(context.seed, "sample latent codes")
    generate = from_prior(
        context.model.decoder, required(context.model.latent_prior, "latent_prior"), (context.latent,)
    )
    sample = make_sampler(generate, context.batch_size, context.cache)

    def draw(generator: np.random.Generator, n: int) -> np.ndarray:
        u = sample(context.model.params, key, np.arange(n, dtype=np.int32), "latent codes by diffusion")
        return (aggregate.mean[None] + aggregate.std[None] * u).astype(np.float32)

    return draw


def latent_prior(
    context: EvalContext,
    shown: int = 12,
    priors: Callable[[EvalContext], dict[str, DrawLatents]] = latent_priors,
) -> Iterator[tuple[str, float]]:
    """Yield latent_prior/NAME/fd_* and kid_* to the training set, of as many images as `samples` draws, given an extractor.

    Image i has the same x_T and noise whatever the prior. The figure has the first `shown` images of each.
    """
    index, rows = np.arange(context.samples, dtype=np.int32), {}
    for name, draw in priors(context).items():
        z = draw(generator(context.seed, "latent_prior"), len(index))
        images = to_unit(context.decode(z, index, f"decode the latent prior, {name}"))
        rows[f"prior of z: {name}"] = images[:shown]
        if context.networks.extractor:
            found = features(context, images, f"the latent prior, {name}")
            yield from compare_to_train(f"latent_prior/{name}", context, found, len(images))
    yield "latent_prior/n", float(len(index))
    plots.rows(rows, context.figures / "latent_prior.png")
