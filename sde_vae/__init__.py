"""A latent space from a diffusion model: ScoreVAE and what it is compared with.

    import sde_vae
    run = sde_vae.load("digits")
    q = run.encode(run.images("test", 2))
    x = run.decode(q.mean)

Import this package before JAX starts its backend: it sets a flag that correct numbers need on x86 processors.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sde_vae.runtime import prepare

prepare()

if TYPE_CHECKING:
    from sde_vae.build.config import load_config as load_config
    from sde_vae.commands.priors import load_prior as load_prior
    from sde_vae.commands.train import train as train
    from sde_vae.run import Run as Run
    from sde_vae.run import load as load

__version__ = "0.2.0"
__all__ = ["Run", "__version__", "load", "load_config", "load_prior", "train"]

# What is exported, and where it lies: imported at first use, so that `import sde_vae` costs nothing.
_EXPORTED = {
    "load": "run",
    "Run": "run",
    "train": "commands.train",
    "load_config": "build.config",
    "load_prior": "commands.priors",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTED:
        raise AttributeError(f"module 'sde_vae' has no attribute {name!r}")
    return getattr(import_module(f"sde_vae.{_EXPORTED[name]}"), name)


def __dir__() -> list[str]:
    return __all__
