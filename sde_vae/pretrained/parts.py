"""The parts of a pre-trained diffusion model, made from its description: SDE, network and prediction."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from sde_vae.diffusion.sdes import SDE
from sde_vae.errors import BadInput, choose, shortened
from sde_vae.methods.prior import Prediction, predicts_denoised, predicts_noise, predicts_velocity
from sde_vae.nets.network import Network, network
from sde_vae.nets.unet2d import UNet2D
from sde_vae.nets.unet2d_options import options_from
from sde_vae.pretrained.schedules import sde_of
from sde_vae.pretrained.score_sde_network import score_sde_network
from sde_vae.pretrained.spec import PriorSpec
from sde_vae.types import Dtype, Params, PerExample, Points

PREDICTIONS: dict[str, Prediction] = {
    "noise": predicts_noise,
    "denoised": predicts_denoised,
    "velocity": predicts_velocity,
}


class Parts(NamedTuple):
    """What `methods.prior.prior` takes of a diffusion model. The network takes x scaled to unit variance, and logSNR."""

    sde: SDE
    network: Network
    prediction: Prediction


def parts_of(spec: PriorSpec, dtype: Dtype = jnp.float32, precision: str = "highest") -> Parts:
    """Return the parts of the model that `spec` describes, with a network that computes in `dtype` with products of a precision.

    Raises BadInput for a description with other names or values than this version knows.
    """
    try:
        sde = sde_of(spec.schedule)
        net = choose("body", spec.body, BODIES)(spec, sde, dtype, precision)
    except (TypeError, ValueError, KeyError) as error:
        raise BadInput(
            f"config.prior.checkpoint: {spec.source} is described in a way we do not know ({shortened(str(error))})"
        ) from error
    return Parts(sde, net, choose("prediction", spec.prediction, PREDICTIONS))


def at_steps(sde: SDE, net: Network, scale: float = 1.0) -> Network:
    """Return the network of logSNR of one that takes the time of `sde`, times `scale`.

    At the whole times of a discrete schedule it gets just these, up to the rounding of float32.
    """

    def apply(params: Params, x: Points, log_snr: PerExample, *rest: Any) -> Points:
        return net.apply(params, x, scale * sde.t_of_log_snr(log_snr), *rest)

    return Network(net.init, apply)


def _unet2d(spec: PriorSpec, sde: SDE, dtype: Dtype, precision: str) -> Network:
    scale = spec.time["step_scale"] if isinstance(spec.time, dict) else 1.0
    return at_steps(sde, network(UNet2D(options_from(spec.options), dtype), spec.image_shape, precision), scale)


def _score_sde(spec: PriorSpec, sde: SDE, dtype: Dtype, precision: str) -> Network:
    """In float32, whatever the dtype."""
    del sde, dtype
    return score_sde_network(spec, precision)


BODIES: dict[str, Callable[[PriorSpec, SDE, Dtype, str], Network]] = {"unet2d": _unet2d, "score_sde": _score_sde}
