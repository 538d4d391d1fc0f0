"""config.model.shift -> PDAE's shift network."""

from ml_collections import ConfigDict

from sde_vae.build.nets import Shape, unet_fields
from sde_vae.diffusion.sdes import SDE
from sde_vae.errors import BadInput, choose
from sde_vae.methods.correction import Corrector, network_corrector, sharing_corrector
from sde_vae.methods.pdae import Shift, shifts_score, shifts_velocity
from sde_vae.nets.network import network
from sde_vae.nets.shift_unet import OF_PRIOR, ShiftUNet
from sde_vae.nets.unet import UNet


def build_shift(config: ConfigDict, sde: SDE, shape: Shape, own_unet: bool) -> tuple[Corrector, Shift]:
    """Return the shift network, and what its output is. `own_unet`: the prior has the U-Net of config.model.prior.

    Raises BadInput for an up path on a prior with another network.
    """
    net, latent = config.model.shift, config.model.latent_dim
    if net.body == "up_path" and not own_unet:
        raise BadInput(
            "config.model.shift.body: got up_path, expected unet: an up path takes the features of config.model.prior.body=unet, and this "
            "prior has another network"
        )
    body = choose("config.model.shift.body", net.body, SHIFT_BODIES)
    return body(config, sde, shape, latent), choose("config.model.shift.output", net.output, SHIFTS)


def _up_path(config: ConfigDict, sde: SDE, shape: Shape, latent: int) -> Corrector:
    net = ShiftUNet(**unet_fields(config, "prior", shape) | {"dropout": config.model.shift.dropout})
    return sharing_corrector(sde, network(net, shape, z=(latent,)), OF_PRIOR)


def _unet(config: ConfigDict, sde: SDE, shape: Shape, latent: int) -> Corrector:
    return network_corrector(sde, network(UNet(**unet_fields(config, "shift", shape)), shape, z=(latent,)))


SHIFT_BODIES = {"up_path": _up_path, "unet": _unet}
SHIFTS = {"score": shifts_score, "velocity": shifts_velocity}
