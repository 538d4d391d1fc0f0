"""The evidence bound on held-out images, every term named, in bits/dim: of the method, of its prior, and with z shuffled."""

from collections.abc import Iterator

import numpy as np

from sde_vae.evaluators.context import EvalContext
from sde_vae.evaluators.shuffled import shuffled_images
from sde_vae.inference.bound import Bound, Measure, as_mass, method_bound, prior_bound, terms_per_image
from sde_vae.metrics.image.distances import standard_error

Named = Iterator[tuple[str, float]]


def bits_per_dim(context: EvalContext, draws: int = 16) -> Named:
    """Yield the bounds of the models as they stand (beta = 1, likelihood weighting), whatever losses they were trained with.

    bits_per_dim/TERM                p(z) p(x | z), the method; p(x), for a model without a latent, and nothing else
    prior/bits_per_dim/TERM          p(x), its pre-trained prior, which is another model
    shuffled/bits_per_dim/TERM       the method, each image with the z of another one
    bits_per_dim/above_prior         the method's total less the prior's, on the same images, noise and levels
    bits_per_dim/gain_over_shuffled  what an image's own z saves over that of another image, without the KL

    A conditional score may correct errors of its own prior with a z that knows nothing of the image. So a total below the prior's is no
    proof of information in z: only the gain over the shuffled z is. Each figure has its standard error over the images.
    """
    yield from bounds(context, "bits_per_dim", as_mass(context.data.levels), draws)


def bounds(context: EvalContext, name: str, measure: Measure, draws: int) -> Named:
    """Yield the bounds of the method, of the method with z shuffled and of its prior, as NAME/TERM and so on, and their differences.

    Of a model without a latent there is one bound: that of its prior.
    """
    model, test = context.model, context.data.test

    def terms(label: str, bound: Bound, x_z: np.ndarray) -> dict[str, np.ndarray]:
        return terms_per_image(label, bound, test, x_z, draws, context.seed, context.batch_size, context.cache)

    bound = method_bound(model, measure) if model.encode else prior_bound(model, measure)
    own = terms("bound", bound, test)
    yield from means(name, own)
    if model.encode and len(test) > 1:
        other = terms("bound with z shuffled", bound, shuffled_images(test, context.seed))
        yield from means(f"shuffled/{name}", other)
        without_kl = lambda found: found["total"] - found["kl"]
        yield from means(name, {"gain_over_shuffled": without_kl(other) - without_kl(own)})
    if model.encode and model.prior is not None:
        prior = terms("bound of the prior", prior_bound(model, measure), test)
        yield from means(f"prior/{name}", prior)
        yield from means(name, {"above_prior": own["total"] - prior["total"]})
    yield f"{name}/draws", float(draws)


def means(name: str, terms: dict[str, np.ndarray]) -> Named:
    """Yield name/TERM and its standard error over the images, which includes the Monte Carlo error of each image's draws."""
    for term, values in terms.items():
        yield f"{name}/{term}", float(values.mean())
        yield f"{name}/{term}_stderr", standard_error(values)
