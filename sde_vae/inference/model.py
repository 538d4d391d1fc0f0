"""A trained model: the functions of its method, with the parameters that were trained for them."""

from collections.abc import Callable
from typing import NamedTuple

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.scores import switch_at_log_snr
from sde_vae.inference.decoding import Decoder, decode, evaluations
from sde_vae.methods.method import Method, required
from sde_vae.types import Frozen, Keys, Latents, Params, Points, ScoreFn


class Model(NamedTuple):
    """Pure functions of arrays, the EMA parameters closed over, for whoever compiles their own.

    title           what plots and tables call it
    encode(x)       q(z | x_0 = x), x in [-1, 1]
    score(z)        the conditional score, of a model that a solver decodes
    likelihood(z)   p(x_0 | z), of a model that decodes in one pass; one of the two is None
    prior           the unconditional score, or None
    decoder         how scores become images; `inverter` is deterministic, so that its decodings can be undone
    latent_prior    the score of a diffusion model of the standardised latent codes, or None
    """

    title: str
    encode: Callable[[Points], DiagGaussian]
    score: Callable[[Latents], ScoreFn] | None
    likelihood: Callable[[Latents], DiagGaussian] | None
    prior: ScoreFn | None
    decoder: Decoder
    inverter: Decoder
    latent_prior: ScoreFn | None = None


def make_model(
    title: str,
    method: Method,
    params: Params,
    frozen: Frozen,
    decoder: Decoder,
    inverter: Decoder,
    prior_below: float | None = None,
    latent_prior: ScoreFn | None = None,
) -> Model:
    """Close the functions of `method` over its parameters.

    Where logSNR is under `prior_below`, the score is the prior's alone: x_t and z share little information there, and leaving z out saves
    the encoder's gradient (PDAE's truncation, arXiv:2212.12990).
    """
    prior = method.unconditional(params, frozen) if method.unconditional else None

    def score(z: Latents) -> ScoreFn:
        conditional = required(method.score, "score")(params, frozen, z)
        if prior_below is None:
            return conditional
        return switch_at_log_snr(decoder.sde, prior_below, required(prior, "unconditional"), conditional)

    return Model(
        title=title,
        encode=lambda x: required(method.encode, "encode")(params, frozen, x),
        score=score if method.score else None,
        likelihood=(lambda z: required(method.likelihood, "likelihood")(params, frozen, z))
        if method.likelihood
        else None,
        prior=prior,
        decoder=decoder,
        inverter=inverter,
        latent_prior=latent_prior,
    )


def decode_latents(model: Model, z: Latents, keys: Keys, x_T: Points) -> Points:
    """Return x [batch, H, W, C] of z: by the solver from x_T, or the mean of p(x_0 | z) of a model that decodes in one pass."""
    if model.score is None:
        return required(model.likelihood, "likelihood")(z).mean
    return decode(model.decoder, model.score(z), keys, x_T)


def latent_evaluations(model: Model, z: Latents, shape: tuple[int, ...]) -> int:
    """Return how often the score is evaluated to decode a batch of this shape; 1 for a model that decodes in one pass."""
    return 1 if model.score is None else evaluations(model.decoder, model.score(z), shape)
