"""config.sde -> SDE."""

import dataclasses

from ml_collections import ConfigDict

from sde_vae.diffusion import sdes
from sde_vae.errors import choose

SDES = {"vp": sdes.VP, "cosine_vp": sdes.CosineVP, "sub_vp": sdes.SubVP, "ve": sdes.VE}


def build_sde(config: ConfigDict) -> sdes.SDE:
    """Return the SDE that the section names, with those of its fields that this SDE has."""
    cls = choose("config.sde.name", config.name, SDES)
    return cls(**{field.name: config[field.name] for field in dataclasses.fields(cls) if field.name in config})
