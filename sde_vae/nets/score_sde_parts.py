"""What the families of score_sde's networks do differently: their blocks, their norms and the way from one resolution to the next."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn

from sde_vae.nets.layers import Embedding, Images
from sde_vae.nets.norm import GroupNorm
from sde_vae.nets.score_sde_blocks import Downsample, ResnetBlockBigGANpp, ResnetBlockDDPM, ResnetBlockDDPMpp, Upsample
from sde_vae.nets.score_sde_layers import EPSILON, Activation, AttnBlock, AttnBlockpp, Conv
from sde_vae.nets.score_sde_options import ScoreSDEOptions
from sde_vae.types import Keys

ACTIVATIONS: dict[str, Activation] = {
    "swish": nn.silu,
    "elu": nn.elu,
    "relu": nn.relu,
    "lrelu": partial(nn.leaky_relu, negative_slope=0.2),
}


def ddpm_groups(channels: int) -> int:
    """Return DDPM's number of groups of a norm, 32 whatever the channels."""
    del channels
    return 32


def ncsnpp_groups(channels: int) -> int:
    """Return NCSN++'s number of groups of a norm: of four channels or more, and 32 groups at most."""
    return min(channels // 4, 32)


@dataclasses.dataclass(frozen=True)
class DDPM:
    """The parts of DDPM's network in one call of it. Each method adds a layer to the module that is being called."""

    options: ScoreSDEOptions
    level: Embedding | None
    keys: Keys | None

    block_type: ClassVar[Any] = ResnetBlockDDPM
    attention_type: ClassVar[Any] = AttnBlock
    groups: ClassVar[Callable[[int], int]] = staticmethod(ddpm_groups)

    @property
    def act(self) -> Activation:
        return ACTIVATIONS[self.options.nonlinearity]

    def block(self, h: Images, features: int, **more: Any) -> Images:
        """Apply a residual block with this number of output channels."""
        o = self.options
        common = {"rescale": o.skip_rescale, "scale": o.init_scale, **more}
        return self.block_type(features, self.groups, self.act, o.dropout, **common)(h, self.level, self.keys)

    def attention(self, h: Images) -> Images:
        """Apply self-attention."""
        o = self.options
        return self.attention_type(self.groups(h.shape[-1]), o.skip_rescale, o.init_scale)(h)

    def out(self, h: Images, features: int, scale: float) -> Images:
        """Apply norm, activation and a convolution."""
        return Conv(features, scale=scale)(self.act(GroupNorm(self.groups(h.shape[-1]), epsilon=EPSILON)(h)))

    def down(self, h: Images) -> Images:
        """Halve the size."""
        return Downsample(h.shape[-1], self.options.taps)(h)

    def up(self, h: Images) -> Images:
        """Double the size."""
        return Upsample(h.shape[-1], self.options.taps)(h)


class DDPMpp(DDPM):
    """The parts of ncsnpp with DDPM's blocks."""

    block_type = ResnetBlockDDPMpp
    attention_type = AttnBlockpp
    groups = staticmethod(ncsnpp_groups)


class BigGAN(DDPMpp):
    """The parts of ncsnpp with BigGAN's blocks, which resample themselves: those of DDPM++ and NCSN++."""

    block_type = ResnetBlockBigGANpp

    def down(self, h: Images) -> Images:
        return self.block(h, h.shape[-1], resample=-1, taps=self.options.taps)

    def up(self, h: Images) -> Images:
        return self.block(h, h.shape[-1], resample=1, taps=self.options.taps)


PARTS: dict[str, dict[str, type[DDPM]]] = {"ddpm": {"ddpm": DDPM}, "ncsnpp": {"ddpm": DDPMpp, "biggan": BigGAN}}
