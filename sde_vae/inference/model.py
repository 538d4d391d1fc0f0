"""A trained model: the functions of its method, and the parameters that were trained for them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.scores import switch_at_log_snr
from sde_vae.inference.decoding import Decoder, decode, evaluations
from sde_vae.methods.method import Method, required
from sde_vae.types import Frozen, Given, Keys, Labels, Params, Points, ScoreFn


class ModelParams(NamedTuple):
    """All parameters of a trained model: those of its final stage, of the stages below, and of the diffusion model of its codes, or None."""

    own: Params
    frozen: Frozen
    latent: Params | None = None


class Model(NamedTuple):
    """Pure functions of parameters and arrays, for whoever compiles their own, and the parameters, on all devices.

    The parameters are arguments. A program that closed over them would hold a copy, and be compiled again for every run.

    title                   what plots and tables call it
    encode(params, x)       q(z | x_0 = x), x in [-1, 1]; None of a model without a latent
    score(params, z)        the conditional score given z, a latent or a condition, of a model that a solver decodes
    likelihood(params, z)   p(x_0 | z), of a model that decodes in one pass; one of the two is None
    prior(params)           the unconditional score; or None
    latent_prior(params)    the score of a diffusion model of the standardised latent codes; or None
    decoder                 how scores become images; `inverter` is deterministic, so that its decodings can be undone
    exact                   the same model with all networks in float32, where this one has lower precision; see `in_float32`
    labelled(params, label) the score of x given its class, of a model whose prior was trained on labels; or None
    """

    title: str
    params: ModelParams
    encode: Callable[[ModelParams, Points], DiagGaussian] | None
    score: Callable[[ModelParams, Any], ScoreFn] | None
    likelihood: Callable[[ModelParams, Any], DiagGaussian] | None
    prior: Callable[[ModelParams], ScoreFn] | None
    decoder: Decoder
    inverter: Decoder
    latent_prior: Callable[[ModelParams], ScoreFn] | None = None
    exact: "Model | None" = None
    labelled: Callable[[ModelParams, Labels], ScoreFn] | None = None


def in_float32(model: Model) -> Model:
    """Return the model that bounds and likelihoods are of: float32 throughout, whatever precision the networks train and decode in.

    bfloat16 rounds x_t by up to 1/256 of its value, which is more than the noise at small t. Parameters are float32 in any case.
    """
    return model if model.exact is None else model.exact


def make_model(
    title: str,
    method: Method,
    params: ModelParams,
    decoder: Decoder,
    inverter: Decoder,
    prior_below: float | None = None,
    latent: Method | None = None,
) -> Model:
    """Return the functions of `method` as a Model. `latent` is the method of the diffusion model of latent codes.

    Where logSNR is under `prior_below`, the score is the prior's alone: x_t and z share little information there, and leaving z out saves
    the encoder's gradient.
    """
    unconditional, likelihood, encode = method.unconditional, method.likelihood, method.encode
    labelled = method.labelled

    def score(params: ModelParams, z: Given) -> ScoreFn:
        conditional = required(method.score, "score")(params.own, params.frozen, z)
        if prior_below is None:
            return conditional
        prior = required(unconditional, "unconditional")(params.own, params.frozen)
        return switch_at_log_snr(decoder.sde, prior_below, prior, conditional)

    return Model(
        title=title,
        params=params,
        encode=(lambda params, x: encode(params.own, params.frozen, x)) if encode else None,
        score=score if method.score else None,
        likelihood=(lambda params, z: likelihood(params.own, params.frozen, z)) if likelihood else None,
        prior=(lambda params: unconditional(params.own, params.frozen)) if unconditional else None,
        decoder=decoder,
        inverter=inverter,
        latent_prior=(lambda params: required(latent.unconditional, "unconditional")(params.latent, {}))
        if latent
        else None,
        labelled=(lambda params, label: labelled(params.own, params.frozen, label)) if labelled else None,
    )


def decode_latents(model: Model, params: ModelParams, z: Given, keys: Keys, x_T: Points) -> Points:
    """Return x [batch, H, W, C] of z, a latent or a condition: by the solver from x_T, or the mean of p(x_0 | z) of a model that decodes in one pass."""
    if model.score is None:
        return required(model.likelihood, "likelihood")(params, z).mean
    return decode(model.decoder, model.score(params, z), keys, x_T)


def latent_evaluations(model: Model, z: Given, shape: tuple[int, ...]) -> int:
    """Return how often the score is evaluated to decode a batch of this shape; 1 for a model that decodes in one pass."""
    return 1 if model.score is None else evaluations(model.decoder, model.score(model.params, z), shape)
