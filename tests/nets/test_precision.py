"""float32 is float32 on every device: the precision of the products in every network, and in the gradients of its gradient."""

import jax
import jax.numpy as jnp
import pytest

from sde_vae.nets.decoder import Decoder
from sde_vae.nets.encoder import Encoder, HalfUNet
from sde_vae.nets.head import CorrectionHead
from sde_vae.nets.mlp import MLP
from sde_vae.nets.network import mapping, network
from sde_vae.nets.score_sde import ScoreSDE
from sde_vae.nets.score_sde_options import ScoreSDEOptions
from sde_vae.nets.unet import UNet
from sde_vae.nets.unet2d import UNet2D
from sde_vae.nets.unet2d_options import UNet2DOptions
from tests.helpers.rarely import rarely
from tests.helpers.traced import products

SHAPE = (4, 4, 2)
WIDTHS = {"block_out_channels": (8, 8), "norm_num_groups": 4, "layers_per_block": 1, "attention_head_dim": 4}
BLOCKS = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
UNET2D = UNet2DOptions(sample_size=4, in_channels=2, out_channels=2, **WIDTHS, **BLOCKS)
# name -> (what makes its network at a precision, the shapes of its inputs, with the logSNR's)
NETS = {
    "unet": (lambda **p: network(UNet(4, (1, 2), 1, (2,)), SHAPE, z=(3,), **p), [SHAPE, ()], {"z": (3,)}),
    "encoder": (lambda **p: network(Encoder(HalfUNet(4, (1, 2), 1, (2,)), 3), SHAPE, **p), [SHAPE, ()], {}),
    "unet2d": (lambda **p: network(UNet2D(UNET2D), SHAPE, **p), [SHAPE, ()], {}),
    "score_sde": (
        lambda **p: network(
            ScoreSDE(ScoreSDEOptions("ncsnpp", 4, 4, (1, 2), 1, (2,), 2, resblock_type="biggan", fir=True)),
            SHAPE,
            **p,
        ),
        [SHAPE, ()],
        {},
    ),
    "mlp": (lambda **p: network(MLP(5, 8, 1), (5,), **p), [(5,), ()], {}),
    "head": (lambda **p: network(CorrectionHead(4, 1, 2, 0.0), SHAPE, z=(3,), **p), [SHAPE, ()], {"z": (3,)}),
    "decoder": (lambda **p: mapping(Decoder(4, (1, 2), 1, (2,), SHAPE, 0.0, False, 8.0), (3,), **p), [(3,)], {}),
}


def precisions(net, shapes, more):
    """Those of a gradient in the parameters of the square of a gradient in the first input, as in the training of an encoder."""
    inputs = [jnp.ones((2, *shape)) for shape in shapes]
    keywords = {name: jnp.ones((2, *shape)) for name, shape in more.items()}

    def total(x, params):
        outputs = net.apply(params, x, *inputs[1:], **keywords)
        return sum(jnp.sum(jnp.tanh(a)) for a in jax.tree.leaves(outputs))

    square = lambda params: jnp.sum(jax.grad(total)(inputs[0], params) ** 2)
    return list(products(jax.make_jaxpr(jax.grad(square))(jax.eval_shape(net.init, jax.random.key(0))).jaxpr))


OF_PRETRAINED = ("unet2d", "score_sde")


@pytest.mark.parametrize("name", [*(name for name in NETS if name not in OF_PRETRAINED), *rarely(*OF_PRETRAINED)])
def test_all_products_are_in_float32(name):
    make, shapes, more = NETS[name]
    found = precisions(make(), shapes, more)
    assert len(found) > 10
    assert set(found) == {(jax.lax.Precision.HIGHEST,) * 2}
    # The gradient of a convolution is traced outside of its network's context: it has that of its network, not of the place.
    with jax.default_matmul_precision("highest"):
        found = precisions(make(precision="default"), shapes, more)
    assert set(found) == {(jax.lax.Precision.DEFAULT,) * 2}
