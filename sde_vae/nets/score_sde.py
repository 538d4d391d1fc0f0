"""The U-Nets of score_sde: DDPM (arXiv:2006.11239, appendix B), DDPM++ and NCSN++ (arXiv:2011.13456, appendix H).

Their parameters have the names and shapes of score_sde's Flax files, so that its checkpoints can be read.
"""

from functools import cache
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from sde_vae.nets.layers import Embedding, Images
from sde_vae.nets.score_sde_layers import Conv, GaussianFourierProjection, embed_time, initial
from sde_vae.nets.score_sde_options import ScoreSDEOptions
from sde_vae.nets.score_sde_parts import ACTIVATIONS, PARTS
from sde_vae.nets.score_sde_pyramids import INPUTS, OUTPUTS
from sde_vae.types import Keys, PerExample

# Options that change no shape.
WITHOUT_PARAMETERS = (
    *("dropout", "nonlinearity", "fir_kernel", "skip_rescale", "fourier_scale", "init_scale"),
    *("centered", "scale_by_sigma"),
)


class ScoreSDE(nn.Module):
    """A network of score_sde, without what its own files do around it.

    Maps x [batch, H, W, C] in the range of [-1, 1] and a time [batch] to [batch, H, W, C]: the time is a number of steps, or sigma if
    `embedding_type` is "fourier". score_sde's network for data in [0, 1] first maps them to [-1, 1], and may divide its output by
    sigma: here neither is done. With `keys`, one per example, dropout is on.
    """

    options: ScoreSDEOptions

    @nn.compact
    def __call__(self, x: Images, time: PerExample, keys: Keys | None = None) -> Images:
        o = self.options
        parts = PARTS[o.name][o.resblock_type](o, _level(o, time), keys)
        maps, pyramid = [Conv(o.nf)(x)], x
        for i, multiple in enumerate(o.ch_mult):
            if i > 0:
                h, pyramid = INPUTS[o.progressive_input](parts, parts.down(maps[-1]), pyramid)
                maps.append(h)
            for _ in range(o.num_res_blocks):
                h = parts.block(maps[-1], o.nf * multiple)
                maps.append(parts.attention(h) if h.shape[1] in o.attn_resolutions else h)

        h = parts.block(maps[-1], maps[-1].shape[-1])
        h = parts.attention(h)
        h = parts.block(h, h.shape[-1])

        summed = None
        for i, multiple in reversed(list(enumerate(o.ch_mult))):
            for _ in range(o.num_res_blocks + 1):
                h = parts.block(jnp.concatenate([h, maps.pop()], axis=-1), o.nf * multiple)
            # One attention a resolution on the way up, where DDPM has one a block.
            h = parts.attention(h) if h.shape[1] in o.attn_resolutions else h
            h, summed = OUTPUTS[o.progressive](parts, h, summed, x.shape[-1])
            h = parts.up(h) if i > 0 else h
        if o.progressive == "output_skip" and summed is not None:
            return summed
        return parts.out(h, x.shape[-1], o.init_scale)


def _level(o: ScoreSDEOptions, time: PerExample) -> Embedding | None:
    """Embed the noise level for the blocks; None if the network is not told it."""
    act = ACTIVATIONS[o.nonlinearity]
    if o.embedding_type == "fourier":
        level = GaussianFourierProjection(o.nf, o.fourier_scale)(jnp.log(time))
    else:
        level = embed_time(time, o.nf)
    if not o.conditional:
        return None
    level = act(nn.Dense(4 * o.nf, kernel_init=initial())(level))
    return act(nn.Dense(4 * o.nf, kernel_init=initial())(level))


class Parameters(NamedTuple):
    """What a network has for parameters.

    shapes  path -> shape, as ("Conv_0", "kernel") -> (3, 3, 3, 128)
    layers  the names of the layers that have parameters, in the order in which they are called: the first part of the paths
    """

    shapes: dict[tuple[str, ...], tuple[int, ...]]
    layers: tuple[str, ...]


def parameters_of(options: ScoreSDEOptions) -> Parameters:
    """Return the names and shapes of a network's parameters. Nothing is computed."""
    alike = ScoreSDEOptions(options.name, options.image_size)
    return _parameters_of(options._replace(**{name: getattr(alike, name) for name in WITHOUT_PARAMETERS}))


@cache
def _parameters_of(options: ScoreSDEOptions) -> Parameters:
    called: dict[str, None] = {}

    def note(call: Any, args: Any, keywords: Any, context: Any) -> Any:
        if len(context.module.path) == 1 and context.method_name == "__call__":
            called[context.module.path[0]] = None
        return call(*args, **keywords)

    size, module = options.image_size, ScoreSDE(options)
    with nn.intercept_methods(note):
        x = jax.ShapeDtypeStruct((1, size, size, options.channels), jnp.float32)
        tree: Any = jax.eval_shape(module.init, jax.random.key(0), x, jax.ShapeDtypeStruct((1,), jnp.float32))["params"]
    leaves: dict[tuple[str, ...], Any] = flatten_dict(tree)
    shapes = {path: tuple(leaf.shape) for path, leaf in leaves.items()}
    having = {path[0] for path in shapes}
    return Parameters(shapes, tuple(name for name in called if name in having))
