"""config.method -> the method, its prior, and its stages in the order of training."""

from collections.abc import Callable
from functools import partial

from ml_collections import ConfigDict

from sde_vae.build.nets import Shape, build_decoder_network, build_encoder, build_head, build_score_network
from sde_vae.build.objectives import build_objective, build_penalty
from sde_vae.build.stages import MakeStage
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.sdes import SDE, log_snr_range
from sde_vae.errors import BadInput, choose
from sde_vae.methods.beta_vae import beta_vae
from sde_vae.methods.correction import Corrector, corrected, head_corrector, network_corrector
from sde_vae.methods.diff_decoder import diff_decoder
from sde_vae.methods.diffuse_vae import diffuse_vae
from sde_vae.methods.method import Method
from sde_vae.methods.posteriors import Posterior, denoised_input, filtered_input, lifted, noisy_input, point_posterior
from sde_vae.methods.prior import predicts_noise, predicts_velocity, prior
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.mlp import MLP
from sde_vae.nets.network import network
from sde_vae.training.stage import Stage

PREDICTIONS = {"noise": predicts_noise, "velocity": predicts_velocity}
LOG_DENSITIES = {"full": DiagGaussian.log_prob, "quadratic": DiagGaussian.quadratic}
# Each takes (sde, the encoder's network of so many more channels, the prior).
INPUTS = {
    "x_t": lambda sde, net, prior: noisy_input(sde, net(0)),
    "filtered": lambda sde, net, prior: filtered_input(sde, net(1)),
    "denoised": lambda sde, net, prior: denoised_input(sde, net(0), prior),
}


# What a builder returns: the method's title, its unconditional prior or None, and its stages in the order of training.
Built = tuple[str, Method | None, tuple[Stage, ...]]


def build_method(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage) -> Built:
    """Return (title, prior, stages) of config.method; the last of the stages is evaluated.

    Raises BadInput that names the field, the value and what is allowed.
    """
    return choose("config.method", config.method, METHODS)(config, sde, shape, make_stage)


def _score_vae(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage) -> Built:
    """ScoreVAE, and with a correction stage ScoreVAE+."""
    prior_method, before = _prior(config, sde, shape, make_stage)
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
    stages = (*before, make_stage("encoder", encoder, ("prior",)))
    if config.stages.correction.steps == 0:
        return "ScoreVAE", prior_method, stages
    body = choose("config.model.correction.body", config.model.correction.body, CORRECTORS)
    plus = corrected(
        sde,
        with_guidance(guidance=1.0),
        encoder,
        body(config, sde, shape),
        *build_objective(config, "correction", sde),
    )
    return "ScoreVAE+", prior_method, (*stages, make_stage("correction", plus, ("prior", "encoder")))


def build_prior(config: ConfigDict, sde: SDE, shape: Shape) -> Method:
    return prior(
        sde,
        build_score_network(config, "prior", shape),
        _prediction(config),
        *build_objective(config, "prior", sde),
    )


def _prior(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage) -> tuple[Method, tuple[Stage, ...]]:
    """The prior, and its stage: none where config.prior.checkpoint replaces it."""
    method = build_prior(config, sde, shape)
    return method, () if config.prior.checkpoint else (make_stage("prior", method),)


def _posterior(config: ConfigDict, sde: SDE, shape: Shape, prior_method: Method) -> Posterior:
    """ScoreVAE's posterior, by its encoder's input; lifted, if there are statistics."""
    encoder_input = choose("config.model.encoder.input", config.model.encoder.input, INPUTS)
    latent, statistics = config.model.latent_dim, config.model.encoder.num_statistics
    posterior = encoder_input(sde, partial(build_encoder, config, shape, latent + statistics), prior_method)
    if statistics == 0:
        return posterior
    return lifted(sde, posterior, latent, network(MLP(statistics, zero=False), (latent,)))


def _beta_vae(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage) -> Built:
    return "beta-VAE", None, (make_stage("encoder", _vae(config, sde, shape)),)


def _diffuse_vae(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage) -> Built:
    prior_method, before = _prior(config, sde, shape, make_stage)
    above, (low, high) = config.sampling.prior_above, map(float, log_snr_range(sde))
    if not low < above < high:
        raise BadInput(
            f"config.sampling.prior_above: got {above}, expected a logSNR between {low:.1f} and {high:.1f}, those of the SDE's ends"
        )
    method = diffuse_vae(sde, _vae(config, sde, shape), prior_method, above)
    return "beta-VAE, finished by the prior", prior_method, (*before, make_stage("encoder", method, ("prior",)))


def _vae(config: ConfigDict, sde: SDE, shape: Shape) -> Method:
    return beta_vae(
        noisy_input(sde, build_encoder(config, shape, config.model.latent_dim)),
        build_decoder_network(config, shape),
        build_penalty(config),
    )


def _diff_decoder(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage) -> Built:
    dropout, guidance = config.loss.latent_dropout, config.sampling.guidance
    if guidance != 1 and dropout == 0:
        raise BadInput(
            f"config.sampling.guidance: got {guidance}, expected 1: guidance needs a score without z, and config.loss.latent_dropout "
            "is 0; train with a latent_dropout above 0"
        )
    posterior = noisy_input(sde, build_encoder(config, shape, config.model.latent_dim))
    method = diff_decoder(
        sde,
        # At beta = 0 nothing holds a variance up: the latent is a point.
        posterior if config.loss.beta > 0 else point_posterior(posterior),
        build_score_network(config, "decoder", shape, latent=config.model.latent_dim),
        _prediction(config),
        *build_objective(config, "encoder", sde),
        build_penalty(config),
        dropout,
        guidance,
    )
    return "DiffDecoder", None, (make_stage("encoder", method),)


METHODS: dict[str, Callable[[ConfigDict, SDE, Shape, MakeStage], Built]] = {
    "score_vae": _score_vae,
    "beta_vae": _beta_vae,
    "diffuse_vae": _diffuse_vae,
    "diff_decoder": _diff_decoder,
}


def _corrected_by_unet(config: ConfigDict, sde: SDE, shape: Shape) -> Corrector:
    latent = config.model.latent_dim
    return network_corrector(sde, build_score_network(config, "correction", shape, zero=False, latent=latent))


def _corrected_by_head(config: ConfigDict, sde: SDE, shape: Shape) -> Corrector:
    return head_corrector(sde, *build_head(config, shape))


CORRECTORS = {"unet": _corrected_by_unet, "head": _corrected_by_head}


def _prediction(config: ConfigDict) -> Callable:
    return choose("config.model.prediction", config.model.prediction, PREDICTIONS)
