"""One image for a latent, not one draw: what l2 asks for.

A single decoding of a single z pays the conditional variance twice, once for what z leaves open and once for what was drawn
instead. Two ways not to:

    average     the mean of K decodings, each of its own z ~ q(z | x_0) and its own x_T and noise
    one_step    E[x_0 | x_T, z] by one evaluation of the score at t = T, z the posterior's mean, and x_T its mean, 0; it divides the
                score's error by alpha(T), which is small

Of those K decodings of every image, all together, Frechet's distance to the originals too. That of one of each is biased upwards by what is
drawn (arXiv:1911.07023), and a decoder that draws nothing pays less of it, however blurred: of K a draw weighs a K-th. It compares with that
of other methods' K decodings, and with no other: what there being few originals adds is left.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from sde_vae import pictures
from sde_vae.data.dataset import to_unit
from sde_vae.evaluators.codes import draw_codes
from sde_vae.evaluators.distribution import fd_name, features
from sde_vae.evaluators.reconstruction import SHOWN, compare
from sde_vae.evaluators.subject import Subject
from sde_vae.metrics.frechet import frechet_distance, merge, moments
from sde_vae.solvers.step import denoise
from sde_vae.streaming import stream
from sde_vae.types import Latents, Points

# Decodings that are averaged.
K = 8


def averages(subject: Subject) -> Iterator[tuple[str, float]]:
    """average/l2, ..., one_step/l2, ... with their standard errors; of methods that decode at once, average alone. With an extractor
    decodings/fd_*, of all decodings/n of them.
    """
    test, q = to_unit(subject.data.test), subject.encode(subject.data.test)
    n, rng, total, seen = len(test), np.random.default_rng(subject.seed + 1), np.zeros(test.shape), None
    for k in range(K):
        z = draw_codes(q, rng)
        # Each decoding has examples of its own: the first n are `reconstruction`'s.
        index = np.arange(n, dtype=np.int32) + (k + 1) * n
        decoded = to_unit(subject.decode(z, index, f"decode {k + 1} of {K} to average"))
        total += decoded
        if subject.judges.extractor:
            of_one = moments(features(subject, decoded, f"decoding {k + 1}"))
            seen = of_one if seen is None else merge(seen, of_one)
    found = {"average": (total / K).astype(np.float32)}
    if subject.model.score is not None:
        found["one_step"] = to_unit(in_one_step(subject, q.mean))
    for name, images in found.items():
        yield from compare(name, subject, images, test)
    yield "average/decodings", float(K)
    if seen is not None:
        originals = moments(features(subject, test, "the originals"))
        yield f"decodings/{fd_name(subject.judges.extractor)}", frechet_distance(seen, originals)
        yield "decodings/n", float(seen.n)
    shown = {"original": test, f"mean of {K} decodings": found["average"]}
    shown |= {"E[x_0 | x_T, z]": found["one_step"]} if "one_step" in found else {}
    pictures.rows({name: images[:SHOWN] for name, images in shown.items()}, subject.pictures / "averages.png")


def in_one_step(subject: Subject, z: np.ndarray) -> np.ndarray:
    sde, shape = subject.model.decoder.sde, subject.data.test.shape[1:]

    @jax.jit
    def of_zero(z: Latents) -> Points:
        return denoise(sde, subject.model.score(z), jnp.zeros((len(z), *shape), jnp.float32), sde.T)

    return stream(of_zero, subject.batch_size, z, label="denoise in one step", parts=subject.parts)
