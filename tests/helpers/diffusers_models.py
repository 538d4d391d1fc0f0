"""Models of diffusers with random weights, small enough for a test, and their weights as the parameters of UNet2D."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffusers import UNet2DModel

from sde_vae.nets.unet2d import UNet2D
from sde_vae.nets.unet2d_options import UNet2DOptions
from sde_vae.pretrained.diffusers_names import found_name, to_parameter

SMALL = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}
# The five options that differ in silence.
GOOGLE = {
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "downsample_padding": 0,
    "norm_eps": 1e-6,
    "attention_head_dim": None,
}
HUGGING_FACE = {
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "downsample_padding": 1,
    "norm_eps": 1e-5,
    "attention_head_dim": 8,
}


def random_model(seed=0, **options):
    """A model whose every tensor differs from its initial value: norms start at 1 and 0, and a swap of two would not be seen."""
    torch.manual_seed(seed)
    model = UNet2DModel(**{**SMALL, **options}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def options_of(model):
    """The options of a model, as ours."""
    config = {name: model.config[name] for name in UNet2DOptions._fields}
    return UNet2DOptions(**{k: tuple(v) if isinstance(v, list | tuple) else v for k, v in config.items()})


def parameters_of(model):
    """The weights of a model, as the parameters of UNet2D; every tensor is used, once."""
    tensors = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    options = options_of(model)
    size = 2 ** len(options.block_out_channels)
    shapes = jax.eval_shape(
        UNet2D(options).init, jax.random.key(0), jnp.zeros((1, size, size, options.in_channels)), jnp.ones(1)
    )
    used = []

    def converted(path, shape):
        used.append(found_name(tuple(key.key for key in path), tensors))
        return jnp.asarray(to_parameter(used[-1], tensors[used[-1]], shape.shape))

    parameters = jax.tree_util.tree_map_with_path(converted, shapes["params"])
    assert sorted(used) == sorted(tensors)
    return parameters


def apply(options, parameters, x, time, keys=None, dtype=jnp.float32):
    """What UNet2D gives, compiled as one program."""
    run = jax.jit(
        lambda parameters, x, time: UNet2D(options, dtype).apply({"params": parameters}, x, time, keys),
        # Compiled once and run once: it takes a third of the time.
        compiler_options={"xla_backend_optimization_level": 0},
    )
    return run(parameters, jnp.asarray(x), jnp.asarray(time, jnp.float32))


def output(model, x, time):
    """What diffusers' model gives, for x [n, H, W, C] and as [n, H, W, C]."""
    with torch.no_grad():
        return np.moveaxis(model(torch.tensor(np.moveaxis(x, -1, 1)), torch.tensor(time)).sample.numpy(), 1, -1)
