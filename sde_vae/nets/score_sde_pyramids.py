"""The pyramids of images of NCSN++, after StyleGAN2 (arXiv:2011.13456, appendix H; arXiv:1912.04958, section 4.1).

On the way down the input image enters again at each resolution; on the way up each resolution adds to the output image.
"""

from collections.abc import Callable

from sde_vae.nets.layers import Images
from sde_vae.nets.score_sde_blocks import Combine, Downsample, Upsample
from sde_vae.nets.score_sde_layers import joined
from sde_vae.nets.score_sde_parts import DDPM

# (parts, features after a halving, pyramid before it) -> features and pyramid after it.
Input = Callable[[DDPM, Images, Images], tuple[Images, Images]]
# (parts, features of a resolution, pyramid of the smaller one or None, channels of images) -> features and pyramid of this one.
Output = Callable[[DDPM, Images, Images | None, int], tuple[Images, Images | None]]


def no_input(parts: DDPM, h: Images, pyramid: Images) -> tuple[Images, Images]:
    """Leave the features as they are."""
    del parts
    return h, pyramid


def input_skip(parts: DDPM, h: Images, pyramid: Images) -> tuple[Images, Images]:
    """Halve the image and combine it with the features."""
    o = parts.options
    pyramid = Downsample(0, o.taps)(pyramid)
    return Combine(o.progressive_combine == "cat")(pyramid, h), pyramid


def residual_input(parts: DDPM, h: Images, pyramid: Images) -> tuple[Images, Images]:
    """Halve the pyramid with a convolution and add it to the features; the sum is the pyramid from there on."""
    o = parts.options
    h = joined(Downsample(h.shape[-1], o.taps)(pyramid), h, o.skip_rescale)
    return h, h


def no_output(parts: DDPM, h: Images, pyramid: Images | None, channels: int) -> tuple[Images, Images | None]:
    """Sum no output image."""
    del parts, pyramid, channels
    return h, None


def output_skip(parts: DDPM, h: Images, pyramid: Images | None, channels: int) -> tuple[Images, Images | None]:
    """Double the output image and add an image that is made of the features."""
    o = parts.options
    doubled = None if pyramid is None else Upsample(0, o.taps)(pyramid)
    image = parts.out(h, channels, o.init_scale)
    return h, image if doubled is None else doubled + image


def residual_output(parts: DDPM, h: Images, pyramid: Images | None, channels: int) -> tuple[Images, Images | None]:
    """Double the pyramid with a convolution and add it to the features, which go on as the sum."""
    del channels
    o = parts.options
    if pyramid is None:
        return h, parts.out(h, h.shape[-1], 1.0)
    h = joined(Upsample(h.shape[-1], o.taps)(pyramid), h, o.skip_rescale)
    return h, h


INPUTS: dict[str, Input] = {"none": no_input, "input_skip": input_skip, "residual": residual_input}
OUTPUTS: dict[str, Output] = {"none": no_output, "output_skip": output_skip, "residual": residual_output}
