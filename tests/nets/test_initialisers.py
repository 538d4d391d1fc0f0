"""Parameters are those that flax would draw, and nothing is compiled for a network to draw them."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from sde_vae.nets.decoder import Decoder
from sde_vae.nets.encoder import Encoder, HalfUNet
from sde_vae.nets.initialisers import lecun_normal
from sde_vae.nets.mlp import MLP
from sde_vae.nets.network import mapping, network
from sde_vae.nets.unet import UNet
from tests.helpers.programs import compilations

SHAPE = (8, 8, 3)
NETWORKS = {
    "U-Net": network(UNet(8, (1, 2), 1, attention=(4,)), SHAPE),
    "conditional U-Net": network(UNet(8, (1,), 1), SHAPE, z=(5,)),
    "encoder": network(Encoder(HalfUNet(8, (1, 3), 1), 5), SHAPE),
    "decoder": mapping(Decoder(8, (1, 2), 1, (), SHAPE, -1.0, True), (5,)),
    "MLP": network(MLP(6), (6,)),
}


@pytest.mark.parametrize("shape", [(1, 1), (3, 3, 1, 8), (16, 16), (5, 13), (3, 3, 24, 40)])
def test_a_kernel_is_flaxs(shape):
    """Of as many numbers as a power of four, of one more, and of others."""
    for seed in (0, 1):
        expected = jax.jit(lambda key: nn.initializers.lecun_normal()(key, shape))(jax.random.key(seed))
        np.testing.assert_array_equal(lecun_normal(jax.random.key(seed), shape), expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_those_of_one_program(name):
    """Under jit, flax's own initialisers draw them."""
    init = NETWORKS[name].init
    jax.tree.map(np.testing.assert_array_equal, init(jax.random.key(3)), jax.jit(init)(jax.random.key(3)))


def test_nothing_is_compiled_for_the_network():
    """What is compiled is of parameters alone, and of few lengths."""
    with compilations() as names:
        params = network(UNet(12, (1, 2, 3, 5), 1, attention=(4,)), (16, 16, 3)).init(jax.random.key(0))
    assert sum(name == "jit(_truncated_normal)" for name in names) <= 9
    assert len(names) < len(jax.tree.leaves(params)) / 2
