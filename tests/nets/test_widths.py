"""Every width builds and runs: the groups of a norm divide the channels that it sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.build.config import set_fields
from sde_vae.build.experiment import build
from sde_vae.build.fields import WIDTH, default_config
from sde_vae.diffusion.rectified_flow import RectifiedFlow
from sde_vae.diffusion.sdes import LOG_SNR_LIMIT, VE, VP, CosineVP, SubVP, fault_of, log_snr_range
from sde_vae.methods.method import abstract_params
from sde_vae.nets.layers import embed_log_snr, group_count
from sde_vae.nets.network import network
from sde_vae.nets.unet import UNet
from tests.helpers.rarely import rarely

SIZE = {"data.image_size": 2, "model.latent_dim": 2}
NETS = ("prior", "encoder", "decoder", "correction", "shift")


def test_groups_divide_the_channels_and_are_the_most_that_do():
    for channels in range(1, 4097):
        groups, most = group_count(channels), max(1, min(32, channels // 4))
        assert channels % groups == 0
        assert not [n for n in range(groups + 1, most + 1) if channels % n == 0]


def test_widths_with_four_channels_a_group_or_ddpms_32_groups_keep_theirs():
    """The count was min(32, channels // 4), where that divides the channels. So trained networks are what they were."""
    ran = [c for c in range(4, 8192) if c % min(32, c // 4) == 0]
    assert set(range(4, 129, 4)) | set(range(128, 8192, 32)) <= set(ran)
    assert [group_count(c) for c in ran] == [min(32, c // 4) for c in ran]


# A U-Net of multipliers (1, 2) has norms of 1, 2, 3 and 4 times its channels: 48 channels have one of 144, which 32 groups do not divide.
FAILED = [c for c in range(4, 129, 4) if any(n * c % min(32, n * c // 4) for n in (1, 2, 3, 4))]


@pytest.mark.parametrize(
    "channels", [*FAILED[::4], *rarely(*(c for i, c in enumerate(FAILED) if i % 4), 7, 127, 250), 5, 131, 2047]
)
def test_every_width_has_a_u_net(channels):
    """Those whose norms were refused, and widths that four does not divide."""
    assert len(FAILED) == 20
    x, level = jax.ShapeDtypeStruct((1, 2, 2, 1), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.float32)
    y, _ = jax.eval_shape(UNet(channels, (1, 2), 1, zero=False).init_with_output, jax.random.key(0), x, level)
    assert y.shape == x.shape


@pytest.mark.parametrize("channels", [7, 92])
def test_every_network_takes_every_width(channels):
    """Of other multipliers: those of the prior, the encoder, both bodies of a correction and of a shift, and the decoder of a VAE."""
    nets = {f"model.{net}.channels": channels for net in NETS} | {f"model.{net}.multipliers": (3, 1) for net in NETS}
    plus = {"stages.correction.steps": 1}
    rivals = ({"method": "beta_vae"}, {"method": "pdae"}, {"method": "pdae", "model.shift.body": "unet"})
    for more in (plus, plus | {"model.correction.body": "head"}, *rivals):
        for stage in build(set_fields(default_config(), SIZE | nets | more)).stages:
            assert abstract_params(stage.method)


def test_an_odd_width_runs():
    net = network(UNet(5, (1,), 1, zero=False), (2, 2, 1))
    y = jax.jit(net.apply)(net.init(jax.random.key(0)), jnp.ones((1, 2, 2, 1)), jnp.zeros(1))
    assert np.isfinite(y).all()


def test_widths_that_hold_no_noise_level_are_refused():
    assert [WIDTH.read(width) for width in (4, 5, 2048)] == [4, 5, 2048]
    assert np.isfinite(embed_log_snr(jnp.zeros(1), 4)).all()
    assert not np.isfinite(embed_log_snr(jnp.zeros(1), 3)).all()


def sdes():
    """Every SDE at the least and the largest t_min that it allows, and between."""
    for t_min in (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.5, 0.99):
        for sde in (
            VP(t_min=t_min),
            SubVP(t_min=t_min),
            CosineVP(t_min=t_min),
            CosineVP(log_snr_min=-33.0, log_snr_max=33.0, t_min=t_min),
            VE(t_min=t_min),
            RectifiedFlow(t_min=t_min),
            RectifiedFlow(-20.0, t_min=t_min),
            VE(sigma_min=1e-7, sigma_max=1e7, t_min=t_min),
        ):
            if not fault_of(sde):
                yield sde


def test_no_two_noise_levels_of_any_sde_look_alike():
    """The embedding tells apart levels a hundredth of the range apart, at both ends of every SDE; sub-VP at t_min = 1e-5 has logSNR 27.6."""
    tops = []
    for sde in sdes():
        low, high = log_snr_range(sde)
        levels = jnp.linspace(low, high, 101)
        apart = np.abs(np.diff(np.asarray(embed_log_snr(levels, 32)), axis=0)).max(axis=1)
        assert apart.min() > 0.5 * min(1.0, 25.0 * (high - low) / 100), sde
        tops.append(high)
    assert max(tops) > 32
    assert max(tops) < LOG_SNR_LIMIT
    assert log_snr_range(SubVP(t_min=1e-5))[1] > 27


def test_within_20_the_embedding_is_ddpms_of_a_step():
    """As it was before levels beyond 20 were told apart: trained networks are what they were."""
    log_snr = jnp.linspace(-20.0, 20.0, 9)
    step = np.linspace(0, 1000, 9)[:, None] * np.exp(-np.log(10_000) * np.arange(4) / 3)[None]
    np.testing.assert_allclose(
        embed_log_snr(log_snr, 8), np.concatenate([np.sin(step), np.cos(step)], axis=1), atol=2e-4
    )
