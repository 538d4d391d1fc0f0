"""Which fields a config reads, and notes on those that were set and are not read."""

from collections.abc import Iterable

from ml_collections import ConfigDict

from sde_vae.build.config import fields
from sde_vae.build.data import data_shape
from sde_vae.training.workdir import Flat, flatten

NETS = ("prior", "encoder", "decoder", "correction", "shift")


def read_by(config: ConfigDict) -> Flat:
    """Return {"section.field": value} of the fields that this config reads, and all of config.data: --input prepares pictures by them.

    >>> from sde_vae.build.config import load_config
    >>> {"sde.beta_max", "sde.sigma_max"} & read_by(load_config("scorevae_digits")).keys()
    {'sde.beta_max'}
    """
    flat, known = flatten(config.to_dict()), fields()
    return {name: value for name, value in flat.items() if name.startswith("data.") or known[name].reader.holds(config)}


def unread(config: ConfigDict, names: Iterable[str]) -> list[str]:
    """Return a note for each field of `names`, "section.field", that this config does not read, and says which configs do.

    >>> from sde_vae.build.config import load_config
    >>> unread(load_config("scorevae_digits"), ["sde.sigma_max", "sde.beta_max"])
    ['note: config.sde.sigma_max has no effect here: it is read only where sde.name is ve']
    """
    known = fields()
    return [
        f"note: config.{name} has no effect here: it is read only where {known[name].reader.text}"
        for name in names
        if not known[name].reader.holds(config)
    ]


def absent_attention(config: ConfigDict) -> list[str]:
    """Return a note for each network that is to attend at image sizes which it never has."""
    notes = []
    for name in NETS:
        field = f"model.{name}.attention"
        sizes = resolutions(config, name)
        absent = [size for size in config.model[name].attention if size not in sizes]
        if absent and fields()[field].reader.holds(config):
            notes.append(
                f"note: config.{field}: there is no attention at {', '.join(map(str, absent))}: the images of this network have the "
                f"sizes {', '.join(map(str, sizes))}"
            )
    return notes


def resolutions(config: ConfigDict, name: str) -> list[int]:
    """Return the shorter sides of the images that the network of config.model.NAME has inside, from the whole image down."""
    shorter = min(data_shape(config)[:2])
    return [shorter // 2**i for i in range(len(config.model[name].multipliers))]
