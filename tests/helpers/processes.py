"""A training of networks that compile at once, as one of several processes: `python -m tests.helpers.processes ORDER`.

ORDER is JSON: {"runs": [[config.parallel, config.method, workdir], ...], "cluster": [coordinator, processes, process] or null, "at": [step, what] or null}.
In a run of several stages, `at` counts the steps of all. What happens then is "kill" (SIGKILL to itself), "term" (SIGTERM) or "fail".
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.helpers import compiling

ROOT = Path(__file__).parent.parent.parent
STEPS = 6


def start(order, devices=1):
    """Start one process with so many simulated devices."""
    env = os.environ | {
        "XLA_FLAGS": compiling.flags(devices),
        "JAX_PLATFORMS": "cpu",
        # XLA splits sums by the number of threads, which is else that of the cores, or of the devices if they are more.
        "PJRT_NPROC": "2",
        "PYTHONPATH": str(ROOT),
    }
    args = [sys.executable, "-m", "tests.helpers.processes", json.dumps(order)]
    return subprocess.Popen(args, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(processes, seconds=120):
    """[(exit code, stdout, stderr)] of the processes; none may take longer."""
    try:
        texts = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *text) for process, text in zip(processes, texts, strict=True)]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def alone(runs, devices=1):
    return end([start({"runs": runs, "cluster": None, "at": None}, devices)])


def two(runs, at=(None, None)):
    """Two processes with one device each; `at` has what happens to each."""
    address = f"127.0.0.1:{free_port()}"
    orders = [{"runs": runs, "cluster": [address, 2, i], "at": at[i]} for i in (0, 1)]
    return end([start(order) for order in orders])


def small_networks():
    """In the place of the U-Nets: maps of all pixels with one hidden layer."""
    import jax
    import jax.numpy as jnp

    from sde_vae.build import methods, nets
    from sde_vae.diffusion.gaussians import DiagGaussian
    from sde_vae.nets.network import Network
    from tests.helpers.small import tanh_network

    def of_pixels(shape, outputs, head):
        net = tanh_network(shape[0] * shape[1], outputs)
        flat = lambda params, x, log_snr, keys=None, **more: head(net.apply(params, x.reshape(len(x), -1), log_snr), x)
        return Network(lambda key: jax.tree.map(lambda a: a.astype(jnp.float32), net.init(key)), flat)

    def prior(config, shape):
        return of_pixels(shape, shape[0] * shape[1], lambda y, x: y.reshape(x.shape))

    def encoder(config, shape, latent, more_channels=0):
        return of_pixels(shape, 2 * latent, lambda y, x: DiagGaussian(y[:, :latent], jnp.tanh(y[:, latent:])))

    nets.PRIOR_BODIES["unet"] = prior
    methods.build_encoder = encoder


def spare_imports():
    """The digits without scikit-learn, and no TensorBoard, which imports torch: half of the time of such a short run."""
    from importlib.util import find_spec
    from unittest.mock import MagicMock

    import numpy as np

    from sde_vae.data.dataset import Dataset, make_splits
    from sde_vae.data.datasets import load

    def digits(options):
        file = Path(find_spec("sklearn").submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
        rows = np.loadtxt(file, delimiter=",", dtype=np.int32)
        images = rows[:, :-1].reshape(-1, 8, 8, 1).astype(np.uint8)
        return Dataset("digits", make_splits(images, rows[:, -1:], 360, 360), levels=17, attributes=("digit",))

    load.DATASETS["digits"] = digits
    sys.modules["tensorboardX"] = MagicMock()


def small_config(parallel, method):
    from sde_vae import load_config

    config = load_config("scorevae_digits")
    config.parallel, config.method = parallel, method
    config.model.latent_dim = 3
    for stage in (config.stages.prior, config.stages.encoder):
        stage.steps = STEPS
        stage.batch_size = 16
        stage.warmup = 2
        stage.checkpoint_every = 2
        stage.log_every = 1
        stage.preview_every = 4 if parallel == "fsdp" else 0
    config.sampling.steps = 1
    if method == "prior":
        config.eval.evaluators = ("samples",)
    return config


def happens_at(step, what):
    """After so many steps of this process, of all stages."""
    from sde_vae.training.shared_stop import SharedStop

    plain, seen = SharedStop.after_step, []

    def after_step(self, requested):
        seen.append(True)
        if len(seen) == step:
            if what == "fail":
                raise KeyError("a failure of one process")
            os.kill(os.getpid(), signal.SIGKILL if what == "kill" else signal.SIGTERM)
        return plain(self, requested)

    SharedStop.after_step = after_step


def main(order):
    import sde_vae
    from sde_vae.errors import exit_code
    from sde_vae.hosts.cluster import Cluster
    from sde_vae.hosts.join import joined

    small_networks()
    spare_imports()
    if order["at"]:
        happens_at(*order["at"])

    def work():
        with joined(order["cluster"] and Cluster(*order["cluster"])):
            for *how, workdir in order["runs"]:
                print(*how, "finished" if sde_vae.train(small_config(*how), workdir) else "stopped")

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
