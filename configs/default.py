"""The default config: every field, as sde_vae/build/fields.py and docs/config.md list them. Other configs state what differs."""

from sde_vae.build.fields import default_config as get_config

__all__ = ["get_config"]
