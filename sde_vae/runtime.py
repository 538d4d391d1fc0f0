"""Prepare the process for JAX before its backend starts. Environment variables are written only here."""

import os
import platform
import sys
import warnings
from pathlib import Path

# On x86 CPUs the default fusions of jaxlib 0.10 and later give wrong numbers, NaN or a crash for some products of a dot and a
# reduction (jax-ml/jax#39103, #39257, #40412). The empty value is the only one that cured every case. It also makes the
# gradients of convolutions 1.5 to 3 times faster. tests/test_runtime.py holds a case that is wrong without it.
CPU_FUSION_FLAG = "--xla_cpu_experimental_ynn_fusion_type="

# The most that compiled programs take on disk.
CACHE_BYTES = 2 * 2**30


def prepare() -> None:
    """Set the XLA flag that correct numbers need, unless the user has set it.

    Warns, on an affected processor, if a backend has started without the flag: the flag then has no effect.
    """
    # Without this, tensorstore's gRPC prints notices.
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
    """Return whether JAX computes wrong numbers on this processor without the flag."""
    return platform.machine().lower() in ("x86_64", "amd64")


def enable_compilation_cache() -> None:
    """Keep compiled programs under ~/.cache/sde_vae, unless JAX_COMPILATION_CACHE_DIR names another folder.

    A program compiled for one CPU may not run on another. The folder's name therefore holds the processor, the host and the
    version of jaxlib. Beyond CACHE_BYTES, or JAX_COMPILATION_CACHE_MAX_SIZE, what was used longest ago is deleted.
    """
    from importlib.metadata import version

    import jax

    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    host = f"{platform.machine()}-{platform.node()}-jaxlib{version('jaxlib')}"
    folder = Path.home() / ".cache" / "sde_vae" / host
    jax.config.update("jax_compilation_cache_dir", str(folder))
    if "JAX_COMPILATION_CACHE_MAX_SIZE" not in os.environ:
        jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
    # JAX fails on programs without the time of their last use: those kept before there was a limit, or while a process was killed.
    for program in folder.glob("*-cache"):
        last_use = program.with_name(program.name.removesuffix("-cache") + "-atime")
        if not last_use.exists():
            last_use.write_bytes(bytes(8))


def _backend_started() -> bool:
    """Return whether JAX has started a backend.

    The list of backends is private. JAX's public functions cannot tell: they would start one.
    """
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bool(bridge is not None and getattr(bridge, "_backends", None))
