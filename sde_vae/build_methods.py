"""ConfigDict -> the method, its prior, and what is trained in which order. Like build.py, a reader of config."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ml_collections import ConfigDict

from sde_vae import losses
from sde_vae.build_nets import Shape, build_encoder, net_fields, unet_fields
from sde_vae.build_objectives import build_objective, build_penalty
from sde_vae.errors import BadInput, choose
from sde_vae.gaussians import DiagGaussian
from sde_vae.method import Method
from sde_vae.methods.beta_vae import beta_vae
from sde_vae.methods.correction import Corrector, corrected, of_features, of_images
from sde_vae.methods.diff_decoder import diff_decoder
from sde_vae.methods.diffuse_vae import diffuse_vae
from sde_vae.methods.latent_prior import Moments, latent_prior
from sde_vae.methods.posteriors import Posterior, lifted, narrow, of_denoised, of_filtered, of_noisy
from sde_vae.methods.prior import predicts_noise, predicts_velocity, prior
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.decoder import Decoder
from sde_vae.nets.head import CorrectionHead
from sde_vae.nets.mlp import MLP
from sde_vae.nets.network import mapping, network
from sde_vae.nets.unet import UNet, UNetFeatures
from sde_vae.sdes import SDE, log_snr_range
from sde_vae.types import Params, Points, ScoreFn

PREDICTIONS = {"noise": predicts_noise, "velocity": predicts_velocity}
LOG_DENSITIES = {"full": DiagGaussian.log_prob, "quadratic": DiagGaussian.quadratic}
# Each takes (sde, the encoder's network of so many more channels, the prior).
SEES = {
    "x_t": lambda sde, net, prior: of_noisy(sde, net(0)),
    "filtered": lambda sde, net, prior: of_filtered(sde, net(1)),
    "denoised": lambda sde, net, prior: of_denoised(sde, net(0), prior),
}


# MomentsOf(encode) -> the moments of the training images' codes
MomentsOf = Callable[[Callable[[Points], DiagGaussian]], Moments]


class Part(NamedTuple):
    """What is trained in one stage. frozen(*parameters of the stages that it stands on) -> what its method calls frozen."""

    name: str
    method: Method
    stands_on: tuple[str, ...] = ()
    frozen: Callable[..., Params] = lambda: ()


class Plan(NamedTuple):
    """title: what pictures and tables call the method. before: what is trained before `final`, which is evaluated; latent_prior: what
    is trained after it, or None. prior: the unconditional model, of a method that has one, and unconditional(frozen): its score, from
    what `final` stands on.
    """

    title: str
    final: Part
    before: tuple[Part, ...] = ()
    prior: Method | None = None
    unconditional: Callable[[Params], ScoreFn] | None = None
    latent_prior: Part | None = None


def build_plan(config: ConfigDict, sde: SDE, shape: Shape, moments: MomentsOf) -> Plan:
    """Raises BadInput that names the field, the value and what is allowed."""
    plan = choose("config.method", config.method, METHODS)(config, sde, shape)
    return plan._replace(
        latent_prior=_latent_prior(config, sde, plan.final, moments) if config.stages.latent.steps else None
    )


def _score_vae(config: ConfigDict, sde: SDE, shape: Shape) -> Plan:
    """ScoreVAE, and with a correction stage ScoreVAE+."""
    prior_method, before, unconditional = _prior(config, sde, shape)
    with_guidance = partial(
        score_vae,
        sde,
        prior_method,
        _posterior(config, sde, shape, prior_method),
        *build_objective(config, "encoder", sde),
        build_penalty(config),
        log_density=choose("config.loss.log_density", config.loss.log_density, LOG_DENSITIES),
    )
    encoder = with_guidance(guidance=config.sampling.guidance)
    final = Part("encoder", encoder, ("prior",), lambda prior: prior)
    if config.stages.correction.steps == 0:
        return Plan("ScoreVAE", final, before, prior_method, unconditional)
    body = choose("config.model.correction.body", config.model.correction.body, CORRECTORS)
    plus = corrected(
        sde,
        with_guidance(guidance=1.0),
        encoder,
        body(config, sde, shape),
        *build_objective(config, "correction", sde),
    )
    before, final = (
        (*before, final),
        Part("correction", plus, ("prior", "encoder"), lambda prior, encoder: (prior, encoder)),
    )
    return Plan("ScoreVAE+", final, before, prior_method, lambda frozen: unconditional(frozen[0]))


def build_prior(config: ConfigDict, sde: SDE, shape: Shape) -> Method:
    return prior(
        sde,
        network(UNet(**unet_fields(config, "prior", shape)), shape),
        _prediction(config),
        *build_objective(config, "prior", sde),
    )


def _prior(config: ConfigDict, sde: SDE, shape: Shape) -> tuple[Method, tuple[Part, ...], Callable[[Params], ScoreFn]]:
    """(the prior, what is trained of it: nothing, where there is one already; its score, from its parameters)."""
    method = build_prior(config, sde, shape)
    before = () if config.prior.checkpoint else (Part("prior", method),)
    return method, before, lambda params: method.score(params, None, None)


def _posterior(config: ConfigDict, sde: SDE, shape: Shape, prior_method: Method) -> Posterior:
    """ScoreVAE's posterior, by what it sees; lifted, if there are statistics."""
    sees = choose("config.model.encoder.sees", config.model.encoder.sees, SEES)
    latent, statistics = config.model.latent_dim, config.model.encoder.statistics
    posterior = sees(sde, partial(build_encoder, config, shape, latent + statistics), prior_method)
    if statistics == 0:
        return posterior
    return lifted(sde, posterior, latent, network(MLP(statistics, zero=False), (latent,)))


def _beta_vae(config: ConfigDict, sde: SDE, shape: Shape) -> Plan:
    return Plan("beta-VAE", Part("encoder", _vae(config, sde, shape)))


def _diffuse_vae(config: ConfigDict, sde: SDE, shape: Shape) -> Plan:
    prior_method, before, unconditional = _prior(config, sde, shape)
    above, (low, high) = config.sampling.prior_above, map(float, log_snr_range(sde))
    if not low < above < high:
        raise BadInput(
            f"config.sampling.prior_above: got {above}, expected a logSNR between {low:.1f} and {high:.1f}, those of the SDE's ends"
        )
    method = diffuse_vae(sde, _vae(config, sde, shape), prior_method, above)
    final = Part("encoder", method, ("prior",), lambda prior: prior)
    return Plan("beta-VAE, finished by the prior", final, before, prior_method, unconditional)


def _vae(config: ConfigDict, sde: SDE, shape: Shape) -> Method:
    likelihood = config.model.likelihood
    decoder = Decoder(
        **net_fields(config, "decoder", shape),
        shape=shape,
        log_var=likelihood.log_var,
        learn_log_var=likelihood.learn_log_var,
        log_var_bound=config.model.log_var_bound,
    )
    return beta_vae(
        of_noisy(sde, build_encoder(config, shape, config.model.latent_dim)),
        mapping(decoder, (config.model.latent_dim,)),
        build_penalty(config),
    )


def _diff_decoder(config: ConfigDict, sde: SDE, shape: Shape) -> Plan:
    dropout, guidance = config.loss.latent_dropout, config.sampling.guidance
    if guidance != 1 and dropout == 0:
        raise BadInput(
            f"config.sampling.guidance: got {guidance}, expected 1: guidance needs a score without z, and config.loss.latent_dropout "
            "is 0; train with a latent_dropout above 0"
        )
    posterior = of_noisy(sde, build_encoder(config, shape, config.model.latent_dim))
    method = diff_decoder(
        sde,
        # At beta = 0 nothing holds a variance up: the latent is a point.
        posterior if config.loss.beta > 0 else narrow(posterior),
        network(UNet(**unet_fields(config, "decoder", shape)), shape, z=(config.model.latent_dim,)),
        _prediction(config),
        *build_objective(config, "encoder", sde),
        build_penalty(config),
        dropout,
        guidance,
    )
    return Plan("DiffDecoder", Part("encoder", method))


METHODS: dict[str, Callable[[ConfigDict, SDE, Shape], Plan]] = {
    "score_vae": _score_vae,
    "beta_vae": _beta_vae,
    "diffuse_vae": _diffuse_vae,
    "diff_decoder": _diff_decoder,
}


def _latent_prior(config: ConfigDict, sde: SDE, final: Part, moments: MomentsOf) -> Part:
    """Velocity, uniform logSNR and the sigmoid weight whatever config.loss says: codes are neither images nor what it was set for."""
    net, size = config.model.latent_prior, config.model.latent_dim
    codes = prior(
        sde,
        network(MLP(size, net.hidden, net.blocks), (size,)),
        predicts_velocity,
        losses.uniform_log_snr(sde, config.stages.latent.batch_size),
        losses.sigmoid(config.loss.sigmoid_bias),
    )

    def frozen(*parameters: Params) -> Params:
        below, trained = final.frozen(*parameters[:-1]), parameters[-1]
        return below, trained, moments(partial(final.method.encode, trained, below))

    return Part("latent", latent_prior(codes, final.method), (*final.stands_on, final.name), frozen)


def _corrected_by_unet(config: ConfigDict, sde: SDE, shape: Shape) -> Corrector:
    net = UNet(**unet_fields(config, "correction", shape), zero=False)
    return of_images(sde, network(net, shape, z=(config.model.latent_dim,)))


def _corrected_by_head(config: ConfigDict, sde: SDE, shape: Shape) -> Corrector:
    net = config.model.correction
    head = CorrectionHead(net.channels, net.blocks, shape[-1], net.dropout)
    # Of the prior's last block: what its one remaining convolution makes the noise of.
    features = (*shape[:-1], config.model.prior.channels * config.model.prior.multipliers[0])
    seen = network(UNetFeatures(**unet_fields(config, "prior", shape)), shape)
    return of_features(sde, seen, network(head, features, z=(config.model.latent_dim,)))


CORRECTORS = {"unet": _corrected_by_unet, "head": _corrected_by_head}


def _prediction(config: ConfigDict) -> Callable:
    return choose("config.model.prediction", config.model.prediction, PREDICTIONS)
