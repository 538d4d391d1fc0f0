"""One library and case of `benchmarks.speed.step_time`, in a process of its own: python -m benchmarks.speed.step_worker ENGINE KIND SIZE THREADS.

It prints the loss on given draws as JSON, or the reason why there is none, and then, for each line that it reads, the seconds of a step.
"""

import json
import os
import sys
from collections.abc import Callable

# Seconds that a round lasts, at least.
ROUND = 1.0
# Evaluations of a decoding that is timed.
EVALUATIONS = 8
# What is timed beside training: kind -> the kind whose networks decode.
DECODING = {"decode prior": "prior", "decode guided": "encoder"}


def restrict(threads: int) -> None:
    """Keep this process on so many cores; both libraries take as many threads.

    How OpenMP's threads wait is left as a user has it: where they sleep between operations, PyTorch takes 1.6 times as long on two.
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ |= {"OMP_NUM_THREADS": str(threads), "JAX_PLATFORMS": "cpu"}


def of_jax(kind: str, size: str) -> tuple[float | None, Callable[[], None], int]:
    """(the loss on the draws of key 0; a step; the evaluations in a step)."""
    import jax
    import jax.numpy as jnp

    from benchmarks.speed.running import decoding_step, training_step
    from benchmarks.speed.step_cases import case

    of = case(DECODING.get(kind, kind), size)
    key, stage = jax.random.key(0), of.stage
    if kind in DECODING:
        method, sde = stage.method, of.experiment.decoder.sde
        score = lambda params, frozen, z: method.score(params, frozen, z)
        if kind == "decode prior":
            score = lambda params, frozen, z: method.unconditional(params, frozen)
        z = jax.random.normal(key, (len(of.batch.x), of.config.model.latent_dim))
        inputs = (of.params[stage.name], of.frozen, z)
        return None, decoding_step(sde, EVALUATIONS, score, inputs, of.batch.x.shape), EVALUATIONS

    loss = jax.jit(stage.method.loss)(of.params[stage.name], of.frozen, key, of.batch)[0]
    loud = stage.method._replace(init=lambda key: jax.tree.map(jnp.asarray, of.params[stage.name]))
    return float(loss), training_step(stage._replace(method=loud), of.frozen, of.batch, "pmap", jax.devices()), 1


def of_torch(kind: str, size: str, threads: int, compiled: bool) -> tuple[float | None, Callable[[], None], int]:
    """The same in PyTorch."""
    import jax
    import torch

    from benchmarks.speed import torch_steps as steps
    from benchmarks.speed.step_cases import case, draws, in_torch, nets
    from benchmarks.speed.torch_twin import tensors, unet

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    of = case(DECODING.get(kind, kind), size)
    trees = {name: tensors(tree, torch.float32) for name, tree in of.params.items()} if kind != "unet2d" else {}
    shape = (of.experiment.shape[2], *of.experiment.shape[:2])
    sizes = nets(of)
    if kind == "unet2d":
        return None, _unet2d(of, shape, compiled), 1
    x, d = in_torch(*draws(of, jax.random.key(0)))
    if kind in DECODING:
        prior, encoder = trees["prior"], trees.get("encoder")
        of_prior = lambda x_t, d: steps.noise_of_velocity(x_t, unet(prior, x_t, d.log_snr, **sizes.sizes["prior"]), d)
        guided = lambda x_t, d: steps.guided_noise(sizes, encoder, prior, x_t, z, d, train=False)
        z = torch.randn(len(x), sizes.latent)
        eps_of = of_prior if kind == "decode prior" else guided
        run = steps.decoding(torch.compile(eps_of) if compiled else eps_of, x, EVALUATIONS)
        return None, run if kind == "decode guided" else torch.no_grad()(run), EVALUATIONS
    loss = steps.LOSSES[kind](sizes)
    frozen = {name: trees[name] for name in of.stage.depends_on}
    found = float(loss(trees[of.stage.name], frozen, x, d))
    loss = torch.compile(loss) if compiled else loss
    new = steps.random_draws(len(x), shape, sizes.latent)
    return found, steps.training_step(loss, trees[of.stage.name], frozen, x, new), 1


def _unet2d(of, shape, compiled: bool) -> Callable[[], None]:
    """A step of diffusers' own network at the same options, with random parameters: tests/nets/test_unet2d.py compares the outputs."""
    import torch
    from diffusers import UNet2DModel

    from benchmarks.speed import torch_steps as steps
    from sde_vae.build.nets import unet2d

    options = unet2d(of.config, of.experiment.shape).options._asdict()
    model = UNet2DModel(**(options | {"time_embedding_type": "positional"})).to(memory_format=torch.channels_last)
    apply = torch.compile(model) if compiled else model
    x = torch.rand(len(of.batch.x), *shape).contiguous(memory_format=torch.channels_last)

    def loss(trained, frozen, x, d):
        x_t = steps.noised(x, d)
        return steps.error(steps.noise_of_velocity(x_t, apply(x_t, 500 * d.alpha).sample, d), d)

    return steps.training_step(loss, dict(model.named_parameters()), {}, x, steps.random_draws(len(x), shape, 1))


def main(engine: str, kind: str, size: str, threads: str) -> None:
    restrict(int(threads))
    # Imported late: JAX finds its processors when it starts.
    from benchmarks.speed.running import timed

    try:
        make = lambda: of_torch(kind, size, int(threads), engine == "torch.compile")
        loss, step, evaluations = of_jax(kind, size) if engine == "jax" else make()
        timed(step, 2)
        times = max(1, round(ROUND / timed(step, 1)))
    # Whatever a compiler raises: the row says it.
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}), flush=True)
        return
    print(json.dumps({"loss": loss}), flush=True)
    for _ in sys.stdin:
        print(timed(step, times) / evaluations, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
