"""The networks on images once more, in PyTorch: DDPM's blocks from the papers, with the parameters of the flax modules.

It shares no code with sde_vae/nets: convolutions, norms, attention, resizing and dropout-free blocks are torch's own functions, NCHW
(channels last in memory). Tests compare the networks here with those of sde_vae, and `benchmarks.speed.step_time` their speed.
"""

import math

import jax
import numpy as np
import torch
from torch.nn import functional as F


class Parameters:
    """The tensors of one module; modules without a name are taken in the order of their use."""

    def __init__(self, tree):
        self.tree, self.used = tree, {}

    def next(self, kind):
        """The next unnamed module of a kind: flax numbers them."""
        number = self.used[kind] = self.used.get(kind, -1) + 1
        return Parameters(self.tree[f"{kind}_{number}"])

    def named(self, name):
        return Parameters(self.tree[name])

    def __getitem__(self, name):
        return self.tree[name]


def tensors(tree, dtype=torch.float64):
    """The parameters of flax modules as torch's functions take them."""
    return jax.tree_util.tree_map_with_path(lambda path, a: _tensor(path[-1].key, np.asarray(a), dtype), tree)


def _tensor(name, a, dtype):
    a = torch.from_numpy(np.array(a)).to(dtype)
    if name == "kernel" and a.ndim == 4:
        return a.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    return a.T.contiguous() if name == "kernel" else a


def dense(p, x):
    return F.linear(x, p["kernel"], p["bias"])


def conv(p, x):
    return F.conv2d(x, p["kernel"], p["bias"], padding=1)


def norm(p, x):
    """Groups of at least four channels, at most 32 groups, all of one size."""
    channels = x.shape[1]
    groups = next(n for n in range(max(1, min(32, channels // 4)), 0, -1) if channels % n == 0)
    return F.group_norm(x, groups, p["scale"], p["bias"], eps=1e-6)


def noise_level(p, log_snr, channels):
    """DDPM's embedding of 1000 steps: here logSNR of -20 to 20, and on at the same rate to +-33.27."""
    step = (log_snr.clamp(-33.27, 33.27) + 20) * 25
    rates = 10_000.0 ** (-torch.arange(channels // 2, dtype=log_snr.dtype) / (channels // 2 - 1))
    angles = step[:, None] * rates
    return two_layers(p, torch.cat([angles.sin(), angles.cos()], dim=1))


def two_layers(p, x):
    h = F.silu(dense(p.next("Dense"), x))
    return F.silu(dense(p.next("Dense"), h))


def block(p, x, features, level=None, latent=None):
    h = conv(p.next("Conv3x3"), F.silu(norm(p.next("GroupNorm"), x)))
    if level is not None:
        h = h + dense(p.next("Dense"), level)[:, :, None, None]
    h = norm(p.next("GroupNorm"), h)
    if latent is not None:
        scale, shift = dense(p.named("latent"), latent)[:, :, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift, h, 1 + scale)
    h = conv(p.next("Conv3x3"), F.silu(h))
    return h + (x if x.shape[1] == features else dense(p.next("Dense"), x.movedim(1, 3)).movedim(3, 1))


def attention(p, x):
    tokens = norm(p.next("GroupNorm"), x).flatten(2).mT
    q, k, v = (dense(p.named(name), tokens) for name in ("query", "key", "value"))
    out = dense(p.named("out"), F.scaled_dot_product_attention(q, k, v))
    return x + out.mT.reshape(x.shape)


def down_path(p, x, level, latent, channels, multipliers, blocks, at_sizes):
    maps = [conv(p.next("Conv3x3"), x)]
    for i, multiplier in enumerate(multipliers):
        if i:
            maps.append(conv(p.next("Conv3x3"), F.avg_pool2d(maps[-1], 2)))
        for _ in range(blocks):
            h = block(p.next("ResBlock"), maps[-1], channels * multiplier, level, latent)
            maps.append(attention(p.next("Attention"), h) if min(h.shape[2:]) in at_sizes else h)
    return maps


def up_path(p, h, maps, level, latent, channels, multipliers, blocks, at_sizes):
    """The bottom and the way up, with the maps of the way down, if any, beside."""
    bottom = h.shape[1]
    h = block(p.next("ResBlock"), h, bottom, level, latent)
    h = attention(p.next("Attention"), h) if at_sizes else h
    h = block(p.next("ResBlock"), h, bottom, level, latent)
    for i in reversed(range(len(multipliers))):
        for _ in range(blocks + 1):
            beside = torch.cat([h, maps.pop()], dim=1) if maps else h
            h = block(p.next("ResBlock"), beside, channels * multipliers[i], level, latent)
            h = attention(p.next("Attention"), h) if min(h.shape[2:]) in at_sizes else h
        if i:
            h = conv(p.next("Conv3x3"), F.interpolate(h, scale_factor=2, mode="nearest"))
    return F.silu(norm(p.next("GroupNorm"), h))


def unet(tree, x, log_snr, z=None, keep=None, **sizes):
    """x [batch, C, H, W] -> the U-Net's output, of that size. `tree` is that of `tensors`."""
    p = Parameters(tree)
    level = noise_level(p.next("NoiseLevel"), log_snr, sizes["channels"])
    latent = None
    if z is not None:
        latent = two_layers(p.next("LatentEmbedding"), z)
        latent = latent if keep is None else keep[:, None] * latent
    maps = down_path(p.next("DownPath"), x, level, latent, **sizes)
    h = up_path(p, maps[-1], maps, level, latent, **sizes)
    return conv(p.next("Conv3x3"), h)


def encoder(tree, x, log_snr, bound, **sizes):
    """(mean, log-variance) of Encoder(HalfUNet) for x [batch, C, H, W]."""
    p, heads = Parameters(tree["body"]), Parameters(tree)
    level = noise_level(p.next("NoiseLevel"), log_snr, sizes["channels"])
    h = down_path(p.next("DownPath"), x, level, None, **sizes)[-1]
    h = F.silu(norm(p.next("GroupNorm"), h)).movedim(1, 3).flatten(1)
    raw = dense(heads.named("log_var"), h)
    return dense(heads.named("mean"), h), bound * torch.tanh(raw / bound)


def decoder(tree, z, shape, bound, **sizes):
    """(mean, log-variance) of Decoder."""
    p, factor = Parameters(tree), 2 ** (len(sizes["multipliers"]) - 1)
    h = dense(p.next("Dense"), z)
    h = h.reshape(len(z), shape[0] // factor, shape[1] // factor, -1).movedim(3, 1)
    h = up_path(p, h, [], None, None, **sizes)
    return conv(p.next("Conv3x3"), h), bound * torch.tanh(p["log_var"] / bound)


def head(tree, features, log_snr, z, channels, blocks):
    p = Parameters(tree)
    level = noise_level(p.next("NoiseLevel"), log_snr, channels)
    latent = two_layers(p.next("LatentEmbedding"), z)
    h = conv(p.next("Conv3x3"), features)
    for _ in range(blocks):
        h = block(p.next("ResBlock"), h, channels, level, latent)
    return conv(p.next("Conv3x3"), F.silu(norm(p.next("GroupNorm"), h)))


def mlp(tree, x, log_snr, hidden, blocks):
    p = Parameters(tree)
    level = noise_level(p.next("NoiseLevel"), log_snr, hidden // 4)
    h = dense(p.next("Dense"), x)
    for _ in range(blocks):
        y = dense(p.next("Dense"), F.silu(h)) + dense(p.next("Dense"), level)
        h = h + dense(p.next("Dense"), F.silu(y))
    return dense(p.next("Dense"), F.silu(h))


def loud_parameters(network, seed=0):
    """Parameters none of which is zero, so that every part of the network is heard: kernels of variance 1 / inputs, scales about 1."""

    def draw(path, a):
        rng = np.random.default_rng([seed, *str(path).encode()])
        noise = rng.standard_normal(a.shape)
        size = math.prod(a.shape[:-1])
        of = {"kernel": noise / math.sqrt(max(size, 1)), "scale": 1 + 0.3 * noise}
        return np.asarray(of.get(path[-1].key, 0.3 * noise), np.float32)

    return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(network.init, jax.random.key(0)))
