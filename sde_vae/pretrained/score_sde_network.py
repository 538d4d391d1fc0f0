"""A network of score_sde as our prior's network: from x of unit variance and logSNR to eps_hat (arXiv:2011.13456, appendix C).

score_sde has the score s(x, t) = -net / sigma for VP and sub-VP, so that net = eps_hat. For VE the net's output divided by sigma *is* the
score, so that net = -eps_hat. The VE networks live on y = (x + 1) / 2 in [0, 1], with noise sigma_y = sigma / 2. There

    s(x) = s_y(y) dy/dx = net(2 y - 1, log sigma_y) / sigma_y / 2 = net(x, log(sigma / 2)) / sigma,    eps_hat = -sigma s(x) = -net.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from sde_vae.arrays import expand
from sde_vae.diffusion.sdes import SDE, VE
from sde_vae.nets.network import Network, network
from sde_vae.nets.score_sde import ScoreSDE
from sde_vae.nets.score_sde_options import ScoreSDEOptions
from sde_vae.pretrained.schedules import sde_of
from sde_vae.pretrained.spec import PriorSpec
from sde_vae.types import Keys, Params, PerExample, Points


def score_sde_network(spec: PriorSpec, precision: str = "highest") -> Network:
    """Return the network of a model of score_sde. It takes what `methods.prior.precondition` gives, with the SDE `sde_of(spec.schedule)`.

    apply(params, x [n, H, W, C] of unit variance, log_snr [n], keys) -> eps_hat [n, H, W, C], in the units of images in [-1, 1].
    """
    options, sde = options_of(spec), sde_of(spec.schedule)
    plain = network(ScoreSDE(options), spec.image_shape, precision)
    time, factor = _conditioning(spec, options, sde)

    def apply(params: Params, x: Points, log_snr: PerExample, keys: Keys | None = None) -> Points:
        t = sde.t_of_log_snr(log_snr)
        scale = jnp.sqrt(jnp.square(sde.alpha(t)) + jnp.square(sde.sigma(t)))
        output = plain.apply(params, expand(scale, x) * x, time(t), keys)
        return expand(factor(t), output) * output

    return Network(plain.init, apply)


def options_of(spec: PriorSpec) -> ScoreSDEOptions:
    """Return the options of a spec, whose tuples may have become lists in JSON."""
    options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.options.items()}
    return ScoreSDEOptions(**options)


# t [batch] -> the time of score_sde's network, or the factor from its output to eps_hat.
OfTime = Callable[[PerExample], PerExample]


def _conditioning(spec: PriorSpec, options: ScoreSDEOptions, sde: SDE) -> tuple[OfTime, OfTime]:
    """Return (time, factor)."""
    if isinstance(sde, VE):
        return _ve_conditioning(spec, options, sde)
    rate = 1.0 if spec.time == "step" else float(spec.time["scale"])
    return lambda t: rate * t, jnp.ones_like


def _ve_conditioning(spec: PriorSpec, options: ScoreSDEOptions, sde: VE) -> tuple[OfTime, OfTime]:
    unit = 1.0 if options.centered else 2.0
    if spec.time == "sigma":
        return (
            lambda t: sde.sigma(t) / unit,
            lambda t: -jnp.ones_like(t) if options.scale_by_sigma else -sde.sigma(t) / unit,
        )
    last = spec.time["levels"] - 1

    # Levels are counted from the largest sigma. Between two of them score_sde takes the nearest one's score, and so do we: its output
    # is divided by the sigma of that level.
    def level(t: PerExample) -> PerExample:
        return jnp.round((1 - t / sde.T) * last)

    def factor(t: PerExample) -> PerExample:
        if options.scale_by_sigma:
            return -sde.sigma(t) / sde.sigma(sde.T * (1 - level(t) / last))
        return -sde.sigma(t) / unit

    return level, factor
