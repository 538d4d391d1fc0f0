"""config.method -> the conditional estimators, and Bayes' rule for observations."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from ml_collections import ConfigDict

from sde_vae.build.data import example_shape
from sde_vae.build.fields import ASSUMED_NOISE
from sde_vae.build.nets import Shape, build_image_network
from sde_vae.build.objectives import build_objective, build_prediction
from sde_vae.build.stages import Built, MakePrior, MakeStage
from sde_vae.build.tasks import build_measurement, condition_channels, require_linear
from sde_vae.diffusion.sdes import SDE, fault_of
from sde_vae.errors import BadInput
from sde_vae.methods.conditional import Speed, cde, cmde, constant_speed, reduced_speed
from sde_vae.methods.conditional_bayes import (
    Variance,
    guided_prior,
    image_posterior,
    no_variance,
    trained_likelihood,
    variance_of_gaussian,
)
from sde_vae.methods.method import required
from sde_vae.methods.observation import Measurement


def _cde(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage, make_prior: MakePrior) -> Built:
    measurement = _measurement(config, shape)
    seen = sum(condition_channels(measurement.observe, example_shape(config)))
    network = build_image_network(config, "decoder", (*shape[:2], shape[-1] + seen), shape[-1])
    method = cde(sde, *measurement, network, build_prediction(config), *build_objective(config, "encoder", sde))
    return "CDE", None, (make_stage("encoder", method),)


def _diffusive(
    title: str,
    speed: Callable[[ConfigDict, SDE], Speed],
    config: ConfigDict,
    sde: SDE,
    shape: Shape,
    make_stage: MakeStage,
    make_prior: MakePrior,
) -> Built:
    measurement = _measurement(config, shape)
    of_y, masks = condition_channels(measurement.observe, example_shape(config))
    both = shape[-1] + of_y
    network = build_image_network(config, "decoder", (*shape[:2], both + masks), both, latent=1)
    objective = build_objective(config, "encoder", sde)
    method = cmde(sde, speed(config, sde), *measurement, network, build_prediction(config), *objective)
    return title, None, (make_stage("encoder", method),)


def _bayes(config: ConfigDict, sde: SDE, shape: Shape, make_stage: MakeStage, make_prior: MakePrior) -> Built:
    measurement, (prior, before, _) = _measurement(config, shape), make_prior()
    of_y, _ = condition_channels(measurement.observe, example_shape(config))
    network = build_image_network(config, "encoder", shape, 2 * of_y, zero=False, exact=True)
    posterior = image_posterior(sde, measurement.operator, network, config.model.log_var_bound)
    objective = build_objective(config, "encoder", sde)
    method = trained_likelihood(sde, prior, posterior, measurement.observe, *objective, config.sampling.guidance)
    return "Bayes' rule, trained", prior, (*before, make_stage("encoder", method, ("prior",)))


def _training_free(
    title: str,
    variance: Callable[[ConfigDict, SDE], Variance],
    config: ConfigDict,
    sde: SDE,
    shape: Shape,
    make_stage: MakeStage,
    make_prior: MakePrior,
) -> Built:
    operator = require_linear(config, _measurement(config, shape).operator)
    prior, trained_here, _ = make_prior()
    noise = assumed_noise(config)
    method = guided_prior(sde, prior, operator, variance(config, sde), noise, config.sampling.guidance)
    stage = make_stage("prior", method)
    return title, prior, (stage if trained_here else stage._replace(steps=0),)


def assumed_noise(config: ConfigDict) -> float:
    """Return the standard deviation of the noise in y that a method without training assumes."""
    return max(config.task.noise, config.task.assumed_noise or ASSUMED_NOISE[config.method])


def _measurement(config: ConfigDict, shape: Shape) -> Measurement:
    return required(build_measurement(config, shape), "observe")


def slower_sde(config: ConfigDict, sde: SDE) -> SDE:
    """Return the SDE of y: that of x with other ends of its schedule, none of them faster than x's."""
    ends = {"ve": ("sigma_max",), "vp": ("beta_min", "beta_max"), "sub_vp": ("beta_min", "beta_max")}
    if (name := config.sde.name) not in ends:
        raise BadInput(
            f"config.sde.name: got {name}, expected {', '.join(ends)}: {config.method} has a slower SDE of its kind for y"
        )
    values = {end: config.y_sde[end] for end in ends[name]}
    for end, value in values.items():
        if not value <= (largest := config.sde[end]):
            raise BadInput(
                f"config.y_sde.{end}: got {value}, expected at most config.sde.{end}, {largest}: y is slower than x"
            )
    own = dataclasses.replace(cast(Any, sde), **values)
    if wrong := fault_of(own):
        got = ", ".join(f"{end}={value}" for end, value in values.items())
        raise BadInput(f"config.y_sde: got {got}, an SDE of which {wrong}; take values nearer to those of config.sde")
    return own


def _reduced(config: ConfigDict, sde: SDE) -> Speed:
    steps = max(1, round(config.y_sde.reduced_over * config.stages.encoder.steps))
    return reduced_speed(sde, slower_sde(config, sde), steps)


CONDITIONAL: dict[str, Callable[[ConfigDict, SDE, Shape, MakeStage, MakePrior], Built]] = {
    "cde": _cde,
    "cdiffe": partial(_diffusive, "CDiffE", lambda config, sde: constant_speed(sde)),
    "cmde": partial(_diffusive, "CMDE", lambda config, sde: constant_speed(slower_sde(config, sde))),
    "vs_cmde": partial(_diffusive, "VS-CMDE", _reduced),
    "bayes": _bayes,
    "dps": partial(_training_free, "DPS", lambda config, sde: no_variance),
    "pigdm": partial(_training_free, "PiGDM", lambda config, sde: variance_of_gaussian(sde, config.task.variance)),
}
