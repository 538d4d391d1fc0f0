"""Every network computes what its definition says: compared with a twin in PyTorch that shares no code, the parameters carried over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.speed import torch_twin as twin
from benchmarks.speed.torch_twin import loud_parameters, tensors
from sde_vae.nets.decoder import Decoder
from sde_vae.nets.encoder import Encoder, HalfUNet
from sde_vae.nets.head import CorrectionHead
from sde_vae.nets.mlp import MLP
from sde_vae.nets.network import mapping, network
from sde_vae.nets.unet import UNet

SIZES = {"channels": 8, "multipliers": (1, 2), "blocks": 1}
SHAPE, N, LATENT = (8, 8, 3), 3, 5
# Within the embedding's range and beyond both of its ends.
LOG_SNR = jnp.array([-41.0, 3.7, 36.0])
# Without a rate there is no dropout, whatever the keys.
KEYS = jax.random.split(jax.random.key(0), N)


def inputs(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal((N, *shape)), jnp.float32)


def tensor(a):
    return None if a is None else torch.from_numpy(np.asarray(a, np.float64))


def nchw(a):
    return tensor(a).movedim(3, 1)


def agrees(found, expected):
    """To the rounding of float32; and the twin's numbers are of the size of one, or nothing would be compared."""
    expected = (expected.movedim(1, 3) if expected.ndim == 4 else expected).numpy()
    assert 0.1 < np.std(expected) < 30
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.std(expected))


@pytest.mark.parametrize(("condition", "attention"), [("nothing", (8,)), ("z", ()), ("z, sometimes", (4, 8))], ids=str)
def test_unet(condition, attention):
    more = {} if condition == "nothing" else {"z": inputs(LATENT, seed=1)}
    if condition == "z, sometimes":
        more["keep"] = jnp.array([1.0, 0.0, 1.0])
    net = network(UNet(**SIZES, attention=attention), SHAPE, **({"z": (LATENT,)} if more else {}))
    params, x = loud_parameters(net), inputs(*SHAPE)
    expected = twin.unet(
        tensors(params),
        nchw(x),
        tensor(LOG_SNR),
        tensor(more.get("z")),
        tensor(more.get("keep")),
        **SIZES,
        at_sizes=attention,
    )
    agrees(jax.jit(net.apply)(params, x, LOG_SNR, KEYS, **more), expected)


def test_encoder():
    shape, sizes = (4, 8, 1), SIZES | {"blocks": 2}
    net = network(Encoder(HalfUNet(**sizes, attention=(4,)), LATENT, log_var_bound=1.5), shape)
    params, x = loud_parameters(net), inputs(*shape)
    mean, log_var = twin.encoder(tensors(params), nchw(x), tensor(LOG_SNR), 1.5, **sizes, at_sizes=(4,))
    found = jax.jit(net.apply)(params, x, LOG_SNR, KEYS)
    agrees(found.mean, mean)
    agrees(found.log_var, log_var)


def test_decoder():
    shape = (8, 4, 1)
    net = mapping(
        Decoder(**SIZES, attention=(4,), shape=shape, log_var=-1.0, learn_log_var=True, log_var_bound=2.0), (LATENT,)
    )
    params, z = loud_parameters(net), inputs(LATENT)
    mean, log_var = twin.decoder(tensors(params), tensor(z), shape, 2.0, **SIZES, at_sizes=(4,))
    found = jax.jit(net.apply)(params, z)
    agrees(found.mean, mean)
    np.testing.assert_allclose(found.log_var, np.broadcast_to(log_var.numpy(), np.shape(found.mean)), rtol=1e-5)


def test_correction_head():
    net = network(CorrectionHead(8, 2, 3), (4, 4, 12), z=(LATENT,))
    params, features, z = loud_parameters(net), inputs(4, 4, 12), inputs(LATENT, seed=1)
    agrees(
        jax.jit(net.apply)(params, features, LOG_SNR, KEYS, z=z),
        twin.head(tensors(params), nchw(features), tensor(LOG_SNR), tensor(z), 8, 2),
    )


def test_mlp():
    net = network(MLP(3, 16, 2), (2,))
    params, x = loud_parameters(net), inputs(2)
    agrees(jax.jit(net.apply)(params, x, LOG_SNR), twin.mlp(tensors(params), tensor(x), tensor(LOG_SNR), 16, 2))
