"""The two networks whose features LPIPS compares, up to the last feature map that it uses.

AlexNet in torchvision's form ("one weird trick", Krizhevsky 2014, arXiv:1404.5997) and VGG16 (Simonyan & Zisserman 2015,
arXiv:1409.1556, configuration D). Each gives five maps, after a ReLU and before the next pooling. Layers have flax's default
names, so that the parameters are a tree {Conv_i: {kernel, bias}}. Products are float32 on every device.
"""

import flax.linen as nn
import jax
from jaxtyping import Array, Float

Images = Float[Array, "batch _ _ _"]  # NHWC


def conv(features: int, side: int, padding: int, stride: int = 1) -> nn.Conv:
    """Return a square convolution with torch's padding, the same number of zeros on every side."""
    pads = ((padding, padding), (padding, padding))
    return nn.Conv(features, (side, side), (stride, stride), padding=pads, precision=jax.lax.Precision.HIGHEST)


def pool(x: Images, side: int) -> Images:
    """Return maxima over squares of `side` with stride 2, without padding."""
    return nn.max_pool(x, (side, side), (2, 2), padding="VALID")


class AlexNet(nn.Module):
    """Five convolutions; returns the maps of all. The sides of the images have at least 31 pixels."""

    @nn.compact
    def __call__(self, x: Images) -> list[Images]:
        maps = [nn.relu(conv(64, 11, padding=2, stride=4)(x))]
        maps.append(nn.relu(conv(192, 5, padding=2)(pool(maps[-1], 3))))
        maps.append(nn.relu(conv(384, 3, padding=1)(pool(maps[-1], 3))))
        maps.append(nn.relu(conv(256, 3, padding=1)(maps[-1])))
        maps.append(nn.relu(conv(256, 3, padding=1)(maps[-1])))
        return maps


class VGG16(nn.Module):
    """Thirteen 3x3 convolutions in five groups; returns the last map of each group. The sides have at least 16 pixels."""

    @nn.compact
    def __call__(self, x: Images) -> list[Images]:
        maps = []
        for features, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            x = pool(maps[-1], 2) if maps else x
            for _ in range(depth):
                x = nn.relu(conv(features, 3, padding=1)(x))
            maps.append(x)
        return maps
