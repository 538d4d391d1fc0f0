"""The U-Net of guided-diffusion in PyTorch, from its paper (arXiv:2105.05233, appendix A) and the names of its tensors."""

import math
from typing import NamedTuple

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional


class Twin(NamedTuple):
    """What the network is, in the words of its flags; `attention` are the sizes (0 is the largest) with attention."""

    width: int = 32
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 1
    attention: tuple[int, ...] = (1,)
    heads: int = 2
    new_order: bool = False
    updown: bool = True
    scale_shift: bool = True
    middle: bool = True
    embedding: int = 128
    outputs: int = 3
    inputs: int = 3


def shapes(twin):
    """Every tensor's name and shape."""
    found = {}

    def layer(name, *shape):
        found[f"{name}.weight"], found[f"{name}.bias"] = shape, shape[:1]

    def residual(name, ins, outs):
        layer(f"{name}.in_layers.0", ins)
        layer(f"{name}.in_layers.2", outs, ins, 3, 3)
        layer(f"{name}.emb_layers.1", (2 if twin.scale_shift else 1) * outs, twin.embedding)
        layer(f"{name}.out_layers.0", outs)
        layer(f"{name}.out_layers.3", outs, outs, 3, 3)
        if ins != outs:
            layer(f"{name}.skip_connection", outs, ins, 1, 1)

    def attention(name, c):
        layer(f"{name}.norm", c)
        layer(f"{name}.qkv", 3 * c, c, 1)
        layer(f"{name}.proj_out", c, c, 1)

    layer("time_embed.0", twin.embedding, twin.width)
    layer("time_embed.2", twin.embedding, twin.embedding)
    layer("input_blocks.0.0", twin.width, twin.inputs, 3, 3)
    c, kept, n, last = twin.width, [twin.width], 1, len(twin.multipliers) - 1
    for level, multiplier in enumerate(twin.multipliers):
        for _ in range(twin.blocks):
            residual(f"input_blocks.{n}.0", c, multiplier * twin.width)
            c = multiplier * twin.width
            if level in twin.attention:
                attention(f"input_blocks.{n}.1", c)
            kept.append(c)
            n += 1
        if level < last:
            if twin.updown:
                residual(f"input_blocks.{n}.0", c, c)
            else:
                layer(f"input_blocks.{n}.0.op", c, c, 3, 3)
            kept.append(c)
            n += 1
    residual("middle_block.0", c, c)
    if twin.middle:
        attention("middle_block.1", c)
    residual(f"middle_block.{1 + twin.middle}", c, c)
    n = 0
    for level in range(last, -1, -1):
        for i in range(twin.blocks + 1):
            residual(f"output_blocks.{n}.0", c + kept.pop(), twin.multipliers[level] * twin.width)
            c = twin.multipliers[level] * twin.width
            if level in twin.attention:
                attention(f"output_blocks.{n}.1", c)
            if level and i == twin.blocks:
                place = f"output_blocks.{n}.{1 + (level in twin.attention)}"
                if twin.updown:
                    residual(place, c, c)
                else:
                    layer(f"{place}.conv", c, c, 3, 3)
            n += 1
    layer("out.0", c)
    layer("out.2", twin.outputs, c, 3, 3)
    return found


def state(twin, seed=0):
    """Random tensors under these names, of a size that keeps the activations of order 1."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda shape: torch.randn(shape, generator=generator)
    made = {}
    for name, shape in shapes(twin).items():
        if len(shape) > 1:
            made[name] = draw(shape) / math.sqrt(math.prod(shape[1:]))
        else:
            made[name] = 0.2 * draw(shape) + name.endswith(
                ("in_layers.0.weight", "out_layers.0.weight", "norm.weight", "out.0.weight")
            )
    return made


def forward(s, twin, x, t):
    """The output [n, outputs, H, W] at x [n, inputs, H, W] and the times t [n], which the network takes as they are."""
    conv = lambda name, x, **how: F.conv2d(x, s[f"{name}.weight"], s[f"{name}.bias"], **how)
    norm = lambda name, x: F.group_norm(x, 32, s[f"{name}.weight"], s[f"{name}.bias"], 1e-5)
    linear = lambda name, x: F.linear(x, s[f"{name}.weight"], s[f"{name}.bias"])

    def residual(name, x, emb, resample=lambda x: x):
        h = resample(F.silu(norm(f"{name}.in_layers.0", x)))
        x = resample(x)
        h = conv(f"{name}.in_layers.2", h, padding=1)
        e = linear(f"{name}.emb_layers.1", F.silu(emb))[:, :, None, None]
        if twin.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = norm(f"{name}.out_layers.0", h) * (1 + scale) + shift
        else:
            h = norm(f"{name}.out_layers.0", h + e)
        h = conv(f"{name}.out_layers.3", F.silu(h), padding=1)
        return h + (conv(f"{name}.skip_connection", x) if f"{name}.skip_connection.weight" in s else x)

    def attention(name, x):
        n, c = x.shape[:2]
        y = norm(f"{name}.norm", x).reshape(n, c, -1)
        qkv = F.conv1d(y, s[f"{name}.qkv.weight"], s[f"{name}.qkv.bias"])
        each = c // twin.heads
        if twin.new_order:
            q, k, v = qkv.reshape(n, 3, twin.heads, each, -1).unbind(1)
        else:
            q, k, v = qkv.reshape(n, twin.heads, 3, each, -1).unbind(2)
        weights = torch.softmax(torch.einsum("nhct,nhcs->nhts", q, k) / math.sqrt(each), dim=-1)
        y = torch.einsum("nhts,nhcs->nhct", weights, v).reshape(n, c, -1)
        return x + F.conv1d(y, s[f"{name}.proj_out.weight"], s[f"{name}.proj_out.bias"]).reshape(x.shape)

    def block(name, x, emb, resample):
        """All modules of one block, in their order."""
        for i in range(3):
            if f"{name}.{i}.in_layers.0.weight" in s:
                # The last residual block of a block with a change of size makes it.
                resizes = resample is not None and not any(
                    f"{name}.{i + 1}.{part}.weight" in s for part in ("norm", "in_layers.0", "conv")
                )
                x = residual(f"{name}.{i}", x, emb, resample if resizes else lambda x: x)
            elif f"{name}.{i}.qkv.weight" in s:
                x = attention(f"{name}.{i}", x)
            elif f"{name}.{i}.op.weight" in s:
                x = conv(f"{name}.{i}.op", x, stride=2, padding=1)
            elif f"{name}.{i}.conv.weight" in s:
                x = conv(f"{name}.{i}.conv", F.interpolate(x, scale_factor=2, mode="nearest"), padding=1)
        return x

    half = twin.width // 2
    angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)[None]
    emb = linear("time_embed.2", F.silu(linear("time_embed.0", torch.cat([angles.cos(), angles.sin()], dim=1))))
    halve = lambda x: F.avg_pool2d(x, 2)
    double = lambda x: F.interpolate(x, scale_factor=2, mode="nearest")
    h = conv("input_blocks.0.0", x, padding=1)
    kept = [h]
    levels, each = len(twin.multipliers), twin.blocks + 1
    for n in range(1, levels * each):
        h = block(f"input_blocks.{n}", h, emb, halve if n % each == 0 else None)
        kept.append(h)
    h = residual("middle_block.0", h, emb)
    h = attention("middle_block.1", h) if twin.middle else h
    h = residual(f"middle_block.{1 + twin.middle}", h, emb)
    for n in range(levels * each):
        resizes = (n + 1) % each == 0 and n + 1 < levels * each and twin.updown
        h = block(f"output_blocks.{n}", torch.cat([h, kept.pop()], dim=1), emb, double if resizes else None)
    return conv("out.2", F.silu(norm("out.0", h)), padding=1)
