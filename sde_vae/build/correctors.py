"""config.model.correction and config.model.shift -> what ScoreVAE+ adds to a score, and by what PDAE shifts it.

Each builder takes (config, sde, shape, has_features): whether the prior's network has features for others to stand on.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from sde_vae.build.nets import Shape, build_head, build_score_network, is_image, unet_fields
from sde_vae.diffusion.sdes import SDE
from sde_vae.errors import BadInput
from sde_vae.methods.correction import Corrector, head_corrector, network_corrector, sharing_corrector
from sde_vae.methods.pdae import shifts_score, shifts_velocity
from sde_vae.nets.network import network
from sde_vae.nets.shift_unet import OF_PRIOR, ShiftUNet


def _corrected_by_unet(config: ConfigDict, sde: SDE, shape: Shape, has_features: bool) -> Corrector:
    del has_features
    latent = config.model.latent_dim
    return network_corrector(sde, build_score_network(config, "correction", shape, zero=False, latent=latent))


def _corrected_by_head(config: ConfigDict, sde: SDE, shape: Shape, has_features: bool) -> Corrector:
    _require_features(has_features, "config.model.correction.body: got head")
    return head_corrector(sde, *build_head(config, shape))


def _shifted_by_up_path(config: ConfigDict, sde: SDE, shape: Shape, has_features: bool) -> Corrector:
    _require_features(has_features and is_image(shape), "config.model.shift.body: got up_path")
    net = ShiftUNet(**unet_fields(config, "prior", shape) | {"dropout": config.model.shift.dropout})
    return sharing_corrector(sde, network(net, shape, config.model.precision, z=(config.model.latent_dim,)), OF_PRIOR)


def _shifted_by_unet(config: ConfigDict, sde: SDE, shape: Shape, has_features: bool) -> Corrector:
    del has_features
    return network_corrector(sde, build_score_network(config, "shift", shape, latent=config.model.latent_dim))


def _require_features(has_features: bool, got: str) -> None:
    if not has_features:
        raise BadInput(
            f"{got}, expected unet: it stands on the features of a U-Net of config.model.prior.body=unet, and this prior has another network"
        )


CORRECTORS: dict[str, Callable[[ConfigDict, SDE, Shape, bool], Corrector]] = {
    "unet": _corrected_by_unet,
    "head": _corrected_by_head,
}
SHIFTERS: dict[str, Callable[[ConfigDict, SDE, Shape, bool], Corrector]] = {
    "up_path": _shifted_by_up_path,
    "unet": _shifted_by_unet,
}
SHIFTS = {"score": shifts_score, "velocity": shifts_velocity}
