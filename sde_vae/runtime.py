"""Prepare the process for JAX, before its backend starts. The one place where environment variables are written."""

import os
import platform
import sys
import warnings
from pathlib import Path

# On x86 CPUs the default fusions of jaxlib 0.10 and later return wrong numbers, NaN or a crash for some products of a dot and
# a reduction (jax-ml/jax#39103, #39257, #40412). Empty is the only value that cured every case; it also makes convolution
# gradients 1.5 to 3 times faster. tests/test_runtime.py keeps a case that is wrong without it.
CPU_FUSION_FLAG = "--xla_cpu_experimental_ynn_fusion_type="


def prepare() -> None:
    """Set the flag that correct numbers need, unless the user has set it.

    Warns where it comes too late: a backend has started without it, on a processor that is affected.
    """
    # tensorstore's gRPC prints notices of its own.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    flags = os.environ.get("XLA_FLAGS", "")
    if CPU_FUSION_FLAG.rstrip("=") in flags:
        return
    os.environ["XLA_FLAGS"] = f"{flags} {CPU_FUSION_FLAG}".strip()
    if _backend_started() and affected():
        warnings.warn(
            "sde_vae: JAX started before `import sde_vae`, without a flag that correct numbers need on this processor; "
            f"restart, and import sde_vae first, or set XLA_FLAGS={CPU_FUSION_FLAG}",
            stacklevel=3,
        )


def affected() -> bool:
    """Return whether this processor is one on which JAX computes wrong numbers without the flag."""
    return platform.machine().lower() in ("x86_64", "amd64")


def enable_compilation_cache() -> None:
    """Keep compiled programs under ~/.cache/sde_vae, apart for each kind of host and jaxlib (JAX_COMPILATION_CACHE_DIR overrides).

    A program compiled for one CPU may not run on another, so the host's name and processor are part of the folder's name.
    """
    import jax
    import jaxlib

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    host = f"{platform.machine()}-{platform.node()}-jaxlib{jaxlib.__version__}"
    jax.config.update("jax_compilation_cache_dir", str(Path.home() / ".cache" / "sde_vae" / host))


def _backend_started() -> bool:
    """Whether JAX has made a backend: its list of them is private, and asking by its public functions would make one."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bool(bridge is not None and getattr(bridge, "_backends", None))
