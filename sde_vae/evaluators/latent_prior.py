"""New images from new codes: z from a prior of the latent space, decoded. Whose codes does the decoder know what to do with?"""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from sde_vae import pictures
from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.codes import aggregate
from sde_vae.evaluators.distribution import against_train, features
from sde_vae.evaluators.streams import from_prior, make_sampler
from sde_vae.evaluators.subject import Subject
from sde_vae.metrics import latent_gaussian
from sde_vae.metrics.latent_gaussian import LatentGaussian

SHOWN = 12
# (generator, n) -> n codes [n, latent], float32
DrawLatents = Callable[[np.random.Generator, int], np.ndarray]


def latent_priors(subject: Subject) -> dict[str, DrawLatents]:
    """normal: N(0, I), which the aggregate posterior would be if the KL were won; gaussian: with the moments that it has; diffusion:
    the diffusion model of codes, if one was trained, drawn from by the method's own solver.

    A prior of another kind is one more entry.
    """
    fitted = aggregate(subject.encode, subject.data.train, subject.data.levels)
    found = {"normal": latent_gaussian.standard(subject.latent).sample, "gaussian": fitted.sample}
    return found | ({"diffusion": by_diffusion(subject, fitted)} if subject.model.latent_prior else {})


def by_diffusion(subject: Subject, fitted: LatentGaussian) -> DrawLatents:
    """The model's draws are standardised codes: the moments of the aggregate posterior make codes of them."""
    # Another key than that of the images: the noise of a code would be the first pixels' of the image it decodes to.
    key = jax.random.fold_in(jax.random.key(subject.seed), 1)
    new = from_prior(subject.model.decoder, subject.model.latent_prior, (subject.latent,), key)
    sample = make_sampler(new, subject.batch_size, subject.parts)

    def draw(generator: np.random.Generator, n: int) -> np.ndarray:
        u = sample(np.arange(n, dtype=np.int32), "codes by diffusion")
        return (fitted.mean[None] + fitted.std[None] * u).astype(np.float32)

    return draw


def latent_prior(subject: Subject) -> Iterator[tuple[str, float]]:
    """latent_prior/NAME/fd_* and kid_*, to the training set, of as many images as `samples` draws.

    Image i has the same x_T whatever the prior: what differs is z.
    """
    index, shown = np.arange(subject.samples, dtype=np.int32), {}
    for name, draw in latent_priors(subject).items():
        z = draw(np.random.default_rng(subject.seed), len(index))
        drawn = to_unit(subject.decode(z, index, f"decode the latent prior, {name}"))
        shown[name] = drawn[:SHOWN]
        if subject.judges.extractor:
            ours = features(subject, drawn, f"the latent prior, {name}")
            yield from against_train(f"latent_prior/{name}", subject, ours, len(drawn))
    yield "latent_prior/n", float(len(index))
    pictures.rows(shown, subject.pictures / "latent_prior.png")
