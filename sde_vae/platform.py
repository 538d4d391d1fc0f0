"""What must be set before JAX starts its backend. The one place where environment variables are written."""

import os
import platform
from pathlib import Path

# On x86 CPUs the default fusions of jaxlib 0.10 and 0.11 return wrong numbers, NaN or a crash for some products of a dot and
# a reduction (jax-ml/jax#39103, #39257, #40412). Empty is the only value that cured every case; it also makes convolution
# gradients 1.5 to 3 times faster. tests/test_platform.py keeps a case that is wrong without it.
CPU_FUSION_FLAG = "--xla_cpu_experimental_ynn_fusion_type="


def prepare() -> None:
    """Set the flags, unless the user has set them. Call before the first use of a device; importing jax is no use yet."""
    flags = os.environ.get("XLA_FLAGS", "")
    if CPU_FUSION_FLAG.rstrip("=") not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {CPU_FUSION_FLAG}".strip()
    # tensorstore's gRPC prints notices of its own.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


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
