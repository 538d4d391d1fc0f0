"""How the tests compile. Most programs run a few times only, and compiling them takes more time than running them.

What holds here holds for the processes that tests start as well: a program is the same program in all of them, whatever ran before.
"""

import os
import tempfile
from importlib.metadata import version

# A small program is compiled sooner in one piece.
IN_ONE_PIECE = "--xla_cpu_parallel_codegen_split_count=1"
# jaxlib 0.10 has two generators of code, and this one takes half of the time. Newer ones stop at a flag that they do not know.
NO_FUSION_EMITTERS = "--xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""


def flags(devices=None, before=""):
    """XLA_FLAGS for so many simulated devices, or for those that there are."""
    simulated = "" if devices is None else f"--xla_force_host_platform_device_count={devices}"
    return " ".join(flag for flag in (before, NO_FUSION_EMITTERS, IN_ONE_PIECE, simulated) if flag)


def one_device():
    """The environment of a user's process, which has one device."""
    return os.environ | {"XLA_FLAGS": flags(), "JAX_PLATFORMS": "cpu"}


def prepare():
    """Set what JAX compiles by, here and for the processes that this one starts, and return the folder of its programs.

    The folder is removed with the process. Of several processes of pytest each has its own, as JAX may read a program while another
    process writes it; one alone takes the folder that it is given.
    """
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    given = os.environ.get("JAX_COMPILATION_CACHE_DIR") if alone else None
    programs = None if given else tempfile.TemporaryDirectory(prefix="sde_vae_programs_", ignore_cleanup_errors=True)
    settings = {
        "jax_compilation_cache_dir": given or programs.name,
        # To keep a small program takes as long as to compile it.
        "jax_persistent_cache_min_compile_time_secs": 0.3,
        "jax_disable_most_optimizations": True,
        # The places in the source that an operation comes from are not looked up.
        "jax_traceback_in_locations_limit": 0,
    }
    # PyTorch's threads wait by spinning: beside another process a step takes seven times as long.
    os.environ["OMP_NUM_THREADS"] = "1"
    import jax

    # JAX reads the environment when it is imported, and the import hook of jaxtyping has done that by now.
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)
    return programs
