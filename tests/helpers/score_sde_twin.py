"""score_sde's networks in PyTorch, which share no code with ours: written from the papers (arXiv:2006.11239, appendix B; 2011.13456, appendix H).

Images are [batch, channels, H, W]. Layers are numbered as in the files: a layer takes the next number when it is called. `Weights` makes a
layer's tensors on its first call, so that one call of a network makes a file's tensors, in its order.
"""

import math

import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional


class Weights(dict):
    """name -> tensor. `take` returns a tensor of a layer, and makes it if it is not there: loud, so that no branch is lost."""

    def __init__(self, tensors=(), device="cpu"):
        super().__init__(tensors)
        self.generator, self.device, self.layers = torch.Generator().manual_seed(0), device, 0

    def layer(self):
        """The prefix of the next layer."""
        self.layers += 1
        return f"all_modules.{self.layers - 1}."

    def take(self, name, *shape, like=0.0):
        if name not in self:
            fan_in = math.prod(shape[1:]) if len(shape) > 1 else 9.0
            if self.device == "meta":
                self[name] = torch.empty(shape, device="meta")
            else:
                self[name] = like + torch.randn(shape, generator=self.generator) / math.sqrt(fan_in)
        assert self[name].shape == shape, f"{name}: {tuple(self[name].shape)} {shape}"
        return self[name]


def norm(w, at, x, groups):
    c = x.shape[1]
    return F.group_norm(x, groups(c), w.take(f"{at}weight", c, like=1.0), w.take(f"{at}bias", c), eps=1e-6)


def conv(w, at, x, out, size=3, **how):
    kernel, bias = w.take(f"{at}weight", out, x.shape[1], size, size), w.take(f"{at}bias", out)
    return F.conv2d(x, kernel, bias, **({"padding": size // 2} | how))


def linear(w, at, x, out):
    return F.linear(x, w.take(f"{at}weight", out, x.shape[1]), w.take(f"{at}bias", out))


def nin(w, at, x, out):
    """W is [in, out] in PyTorch's files too."""
    kernel, bias = w.take(f"{at}W", x.shape[1], out), w.take(f"{at}b", out)
    return torch.einsum("bihw,io->bohw", x, kernel) + bias[None, :, None, None]


def filtered(x, taps, before, after, gain):
    """A depthwise convolution with the outer product of the taps, after zeros on both sides."""
    k = torch.tensor(taps, dtype=torch.float32, device=x.device)
    k = torch.outer(k, k).flip(0, 1) * gain / k.sum() ** 2
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, k[None, None].expand(x.shape[1], 1, -1, -1), groups=x.shape[1])


def zeros_between(x):
    b, c, h, w = x.shape
    wide = torch.zeros(b, c, 2 * h, 2 * w, device=x.device)
    wide[:, :, ::2, ::2] = x
    return wide


def halve(x, o):
    """The phases of StyleGAN2's filter: two taps on each side of the place between two pixels."""
    return filtered(x, o.fir_kernel, 1, 1, 1.0)[:, :, ::2, ::2] if o.fir else F.avg_pool2d(x, 2)


def double(x, o):
    return filtered(zeros_between(x), o.fir_kernel, 2, 1, 4.0) if o.fir else F.interpolate(x, scale_factor=2)


def down_conv(w, at, x, out, o):
    if not o.fir:
        return conv(w, f"{at}Conv_0.", F.pad(x, (0, 1, 0, 1)), out, stride=2, padding=0)
    return conv(w, f"{at}Conv2d_0.", filtered(x, o.fir_kernel, 2, 2, 1.0), out, stride=2, padding=0)


def up_conv(w, at, x, out, o):
    if not o.fir:
        return conv(w, f"{at}Conv_0.", double(x, o), out)
    kernel, bias = w.take(f"{at}Conv2d_0.weight", out, x.shape[1], 3, 3), w.take(f"{at}Conv2d_0.bias", out)
    # The transposed convolution scatters its kernel; a convolution of the spread image would gather with it: hence rotated.
    y = F.conv_transpose2d(x, kernel.flip(2, 3).transpose(0, 1), stride=2)
    return filtered(y, o.fir_kernel, 1, 1, 4.0) + bias[None, :, None, None]


class Net:
    """One call of a network."""

    def __init__(self, w, o):
        self.w, self.o = w, o
        w.layers = 0
        self.groups = (lambda c: 32) if o.name == "ddpm" else (lambda c: min(c // 4, 32))
        self.act = {"swish": F.silu, "elu": F.elu, "relu": F.relu, "lrelu": lambda x: F.leaky_relu(x, 0.2)}[
            o.nonlinearity
        ]

    def add(self, x, h):
        return (x + h) / math.sqrt(2) if self.o.skip_rescale else x + h

    def block(self, x, out, resample=None):
        w, at, biggan = self.w, self.w.layer(), self.o.resblock_type == "biggan"
        h = self.act(norm(w, f"{at}GroupNorm_0.", x, self.groups))
        if resample:
            x, h = resample(x, self.o), resample(h, self.o)
        h = conv(w, f"{at}Conv_0.", h, out)
        if self.level is not None:
            h = h + linear(w, f"{at}Dense_0.", self.act(self.level), out)[:, :, None, None]
        h = conv(w, f"{at}Conv_1.", self.act(norm(w, f"{at}GroupNorm_1.", h, self.groups)), out)
        if biggan and (resample or x.shape[1] != out):
            x = conv(w, f"{at}Conv_2.", x, out, 1)
        elif x.shape[1] != out:
            x = nin(w, f"{at}NIN_0.", x, out)
        return self.add(x, h)

    def attention(self, x):
        w, at = self.w, self.w.layer()
        b, c, height, width = x.shape
        h = norm(w, f"{at}GroupNorm_0.", x, self.groups)
        q, k, v = (nin(w, f"{at}NIN_{i}.", h, c).flatten(2).transpose(1, 2) for i in range(3))
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, c, height, width)
        return self.add(x, nin(w, f"{at}NIN_3.", h, c))

    def attended(self, x):
        return self.attention(x) if x.shape[2] in self.o.attn_resolutions else x

    def out(self, x, channels):
        x = self.act(norm(self.w, self.w.layer(), x, self.groups))
        return conv(self.w, self.w.layer(), x, channels)

    def embed(self, time):
        o, w = self.o, self.w
        if o.embedding_type == "fourier":
            angles = 2 * math.pi * torch.log(time)[:, None] * w.take(f"{w.layer()}W", o.nf)[None]
        else:
            half = o.nf // 2
            angles = time[:, None] * 10_000 ** (-torch.arange(half, device=time.device) / (half - 1))[None]
        level = torch.cat([angles.sin(), angles.cos()], 1)
        self.level = None
        if o.conditional:
            level = linear(w, w.layer(), level, 4 * o.nf)
            self.level = linear(w, w.layer(), self.act(level), 4 * o.nf)

    def change(self, h, by):
        """To the next resolution, up (1) or down (-1)."""
        if self.o.resblock_type == "biggan":
            return self.block(h, h.shape[1], double if by > 0 else halve)
        return (up_conv if by > 0 else down_conv)(self.w, self.w.layer(), h, h.shape[1], self.o)

    def __call__(self, x, time):
        """The output before any division by sigma, of images in the units that the network was trained on, at its own times."""
        o, w = self.o, self.w
        if not o.centered:
            x = 2 * x - 1
        self.embed(time)
        image, hs = x, [conv(w, w.layer(), x, o.nf)]
        for i, m in enumerate(o.ch_mult):
            for _ in range(o.num_res_blocks):
                hs.append(self.attended(self.block(hs[-1], o.nf * m)))
            if i == len(o.ch_mult) - 1:
                break
            h = self.change(hs[-1], -1)
            if o.progressive_input == "input_skip":
                image = halve(image, o)
                small = conv(w, f"{w.layer()}Conv_0.", image, h.shape[1], 1)
                h = torch.cat([small, h], 1) if o.progressive_combine == "cat" else small + h
            if o.progressive_input == "residual":
                h = image = self.add(down_conv(w, w.layer(), image, h.shape[1], o), h)
            hs.append(h)
        h = self.block(hs[-1], hs[-1].shape[1])
        h = self.attention(h)
        h = self.block(h, h.shape[1])
        pyramid = None
        for i in reversed(range(len(o.ch_mult))):
            for _ in range(o.num_res_blocks + 1):
                h = self.block(torch.cat([h, hs.pop()], 1), o.nf * o.ch_mult[i])
            h = self.attended(h)
            if o.progressive == "output_skip":
                image = self.out(h, x.shape[1])
                pyramid = image if pyramid is None else double(pyramid, o) + image
            elif o.progressive == "residual" and pyramid is None:
                pyramid = self.out(h, h.shape[1])
            elif o.progressive == "residual":
                h = pyramid = self.add(up_conv(w, w.layer(), pyramid, h.shape[1], o), h)
            if i > 0:
                h = self.change(h, 1)
        assert not hs
        return pyramid if o.progressive == "output_skip" else self.out(h, x.shape[1])


def weights_of(options, device="cpu"):
    """The tensors of a network, in the order of its file: made by one call of it."""
    w = Weights(device=device)
    size = options.image_size
    Net(w, options)(torch.ones(1, options.channels, size, size, device=device), torch.ones(1, device=device))
    return w
