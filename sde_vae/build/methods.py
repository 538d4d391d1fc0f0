"""config.method -> the method, its prior, and its stages in the order of training."""

from collections.abc import Callable
from functools import partial

from ml_collections import ConfigDict

from sde_vae.build.conditional import CONDITIONAL
from sde_vae.build.correctors import CORRECTORS, SHIFTERS, SHIFTS
from sde_vae.build.fields import HAS_LABELS
from sde_vae.build.nets import PRIOR_BODIES, Shape, build_decoder_network, build_encoder, build_score_network
from sde_vae.build.objectives import build_objective, build_penalty, build_prediction
from sde_vae.build.stages import Built, MakePrior, MakeStage, Prior
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.sdes import SDE, log_snr_range
from sde_vae.errors import BadInput, choose
from sde_vae.methods.beta_vae import beta_vae
from sde_vae.methods.class_conditional import class_conditional
from sde_vae.methods.correction import corrected
from sde_vae.methods.diff_decoder import diff_decoder
from sde_vae.methods.diffuse_vae import diffuse_vae
from sde_vae.methods.method import Method
from sde_vae.methods.pdae import pdae
from sde_vae.methods.posteriors import Posterior, denoised_input, filtered_input, lifted, noisy_input, point_posterior
from sde_vae.methods.prior import prior
from sde_vae.methods.score_vae import score_vae
from sde_vae.nets.mlp import MLP
from sde_vae.nets.network import network
from sde_vae.pretrained.parts import Parts

LOG_DENSITIES = {"full": DiagGaussian.log_prob, "quadratic": DiagGaussian.quadratic}
# Each takes (sde, the encoder's network of so many more channels, the prior).
INPUTS = {
    "x_t": lambda sde, net, prior: noisy_input(sde, net(0)),
    "filtered": lambda sde, net, prior: filtered_input(sde, net(1)),
    "denoised": lambda sde, net, prior: denoised_input(sde, net(0), prior),
}


def build_method(
    config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage, pretrained: Parts | None = None
) -> Built:
    """Return (title, prior, stages) of config.method; the last of the stages is evaluated.

    `pretrained` has the parts of a pre-trained prior. Raises BadInput that names the field, the value and what is allowed.
    """

    def make_prior() -> Prior:
        method = build_prior(config, sde, shape, pretrained)
        stages = () if pretrained or config.prior.checkpoint else (make_stage("prior", method),)
        own = pretrained is None and config.model.prior.body == "unet" and not HAS_LABELS.holds(config)
        return Prior(method, stages, has_features=own)

    return choose("config.method", config.method, METHODS)(config, sde, shape, make_stage, make_prior)


def _prior_alone(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage, make_prior: MakePrior) -> Built:
    """The unconditional diffusion model; one of another run, or a pre-trained one, has no steps to train."""
    method, trained_here, _ = make_prior()
    return "diffusion model", method, trained_here or (make_stage("prior", method)._replace(steps=0),)


def _score_vae(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage, make_prior: MakePrior) -> Built:
    """ScoreVAE, and with a correction stage ScoreVAE+."""
    prior_method, before, has_features = make_prior()
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
        body(config, sde, shape, has_features),
        *build_objective(config, "correction", sde),
    )
    return "ScoreVAE+", prior_method, (*stages, make_stage("correction", plus, ("prior", "encoder")))


def build_prior(config: ConfigDict, sde: SDE, shape: Shape, pretrained: Parts | None = None) -> Method:
    """Return the unconditional diffusion model: a pre-trained one, or that of config.model.prior."""
    labels, objective = HAS_LABELS.holds(config), build_objective(config, "prior", sde)
    if pretrained is not None:
        if labels:
            got = f"config.labels.attribute: got {config.labels.attribute!r}"
            raise BadInput(
                f"{got}, but the pre-trained prior of config.prior.checkpoint takes no labels; leave it empty"
            )
        return prior(*pretrained, *objective)
    body = choose("config.model.prior.body", config.model.prior.body, PRIOR_BODIES)
    parts = (sde, body(config, shape), build_prediction(config), *objective)
    return class_conditional(*parts, config.labels.classes, config.labels.dropout) if labels else prior(*parts)


def _posterior(config: ConfigDict, sde: SDE, shape: Shape, prior_method: Method) -> Posterior:
    """ScoreVAE's posterior, by its encoder's input; lifted, if there are statistics."""
    encoder_input = choose("config.model.encoder.input", config.model.encoder.input, INPUTS)
    latent, statistics = config.model.latent_dim, config.model.encoder.num_statistics
    posterior = encoder_input(sde, partial(build_encoder, config, shape, latent + statistics), prior_method)
    if statistics == 0:
        return posterior
    return lifted(sde, posterior, latent, network(MLP(statistics, zero=False), (latent,)))


def _beta_vae(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage, make_prior: MakePrior) -> Built:
    return "beta-VAE", None, (make_stage("encoder", _vae(config, sde, shape)),)


def _diffuse_vae(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage, make_prior: MakePrior) -> Built:
    prior_method, before, _ = make_prior()
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


def _diff_decoder(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage, make_prior: MakePrior) -> Built:
    dropout, guidance = config.loss.latent_dropout, config.sampling.guidance
    if guidance != 1 and dropout == 0:
        raise BadInput(
            f"config.sampling.guidance: got {guidance}, expected 1: guidance needs a score without z, and config.loss.latent_dropout "
            "is 0; train with a latent_dropout above 0"
        )
    method = diff_decoder(
        sde,
        _point_or_gaussian(config, sde, shape),
        build_score_network(config, "decoder", shape, latent=config.model.latent_dim),
        build_prediction(config),
        *build_objective(config, "encoder", sde),
        build_penalty(config),
        dropout,
        guidance,
    )
    return "DiffDecoder", None, (make_stage("encoder", method),)


def _point_or_gaussian(config: ConfigDict, sde: SDE, shape: Shape) -> Posterior:
    """The posterior of a method that encodes clean images only."""
    posterior = noisy_input(sde, build_encoder(config, shape, config.model.latent_dim))
    # At beta = 0 nothing holds a variance up: the latent is a point.
    return posterior if config.loss.beta > 0 else point_posterior(posterior)


def _pdae(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage, make_prior: MakePrior) -> Built:
    prior_method, before, has_features = make_prior()
    method = pdae(
        sde,
        prior_method,
        _point_or_gaussian(config, sde, shape),
        choose("config.model.shift.body", config.model.shift.body, SHIFTERS)(config, sde, shape, has_features),
        choose("config.model.shift.output", config.model.shift.output, SHIFTS),
        *build_objective(config, "encoder", sde),
        build_penalty(config),
        config.sampling.guidance,
    )
    return "PDAE", prior_method, (*before, make_stage("encoder", method, ("prior",)))


METHODS: dict[str, Callable[[ConfigDict, SDE, Shape, MakeStage, MakePrior], Built]] = {
    "prior": _prior_alone,
    "score_vae": _score_vae,
    "beta_vae": _beta_vae,
    "diffuse_vae": _diffuse_vae,
    "diff_decoder": _diff_decoder,
    "pdae": _pdae,
    **CONDITIONAL,
}
