"""config.sde -> SDE."""

import dataclasses

from ml_collections import ConfigDict

from sde_vae.diffusion import sdes
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.errors import BadInput, choose

SDES = {
    "vp": sdes.VP,
    "cosine_vp": sdes.CosineVP,
    "sub_vp": sdes.SubVP,
    "ve": sdes.VE,
    "rectified_flow": RectifiedFlow,
}


def build_sde(config: ConfigDict) -> sdes.SDE:
    """Return the SDE that the section names, with those of its fields that this SDE has.

    Raises BadInput for fields whose logSNR does not fall from t_min to T, within what float32 resolves.
    """
    cls = choose("config.sde.name", config.name, SDES)
    values = {field.name: config[field.name] for field in dataclasses.fields(cls) if field.name in config}
    for low, high in (("sigma_min", "sigma_max"), ("log_snr_min", "log_snr_max")):
        if {low, high} <= values.keys() and not values[low] < values[high]:
            raise BadInput(f"config.sde.{low}: got {values[low]}, expected below config.sde.{high}, {values[high]}")
    sde = cls(**values)
    if wrong := sdes.fault_of(sde):
        got = ", ".join(f"{name}={value}" for name, value in values.items())
        raise BadInput(
            f"config.sde: got {config.name} with {got}, of which {wrong}; take values nearer to the defaults"
        )
    return sde
