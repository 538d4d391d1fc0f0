"""UNet2D computes what diffusers' UNet2DModel computes, for every option; and it can be trained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sde_vae.errors import BadInput
from sde_vae.nets.conv import conv, halving_conv
from sde_vae.nets.network import network
from sde_vae.nets.unet2d import UNet2D
from sde_vae.nets.unet2d_options import UNet2DOptions, check_options
from tests.helpers.diffusers_models import (
    GOOGLE,
    HUGGING_FACE,
    SMALL,
    apply,
    options_of,
    output,
    parameters_of,
    random_model,
)

GUIDED_DIFFUSION = {
    "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "block_out_channels": (8, 8, 16),
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "resnet_time_scale_shift": "scale_shift",
    "attn_norm_num_groups": 4,
    "attention_head_dim": 4,
}
ATTENTION_FIRST = {
    "down_block_types": ("AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D"),
}
# Every option, and each of its values, in as few networks as compile quickly.
CASES = {
    "google": {**GOOGLE, "layers_per_block": 2},
    "hugging_face": {**HUGGING_FACE, **ATTENTION_FIRST, "norm_eps": 0.1},
    "guided_diffusion": GUIDED_DIFFUSION,
    "fourier": {
        "time_embedding_type": "fourier",
        "center_input_sample": True,
        "in_channels": 1,
        "out_channels": 2,
        "act_fn": "mish",
        "attn_norm_num_groups": 2,
    },
    "learned": {
        "time_embedding_type": "learned",
        "num_train_timesteps": 1000,
        "time_embedding_dim": 24,
        "mid_block_type": None,
        "act_fn": "gelu",
    },
    "odd width": {
        "block_out_channels": (9, 18),
        "norm_num_groups": 3,
        # Heads that do not fill the channels.
        "attention_head_dim": 4,
        "mid_block_scale_factor": 2**0.5,
        "act_fn": "relu",
    },
    "resnet resampling": {
        **ATTENTION_FIRST,
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "add_attention": False,
        "act_fn": "swish",
        "dropout": 0.3,
    },
    "scale_shift": {"resnet_time_scale_shift": "scale_shift"},
}


def images(n, height, width, channels, seed=0):
    return np.random.default_rng(seed).standard_normal((n, height, width, channels)).astype(np.float32)


@pytest.mark.parametrize("case", CASES)
def test_every_option_computes_what_diffusers_does(case):
    """To 1e-4 for outputs of the size of one; float32 agrees to 4e-6. Images are rectangular; the times are of the whole schedule, and one
    is fractional where diffusers allows it.
    """
    model = random_model(**CASES[case])
    options, parameters = options_of(model), parameters_of(model)
    check_options(options)
    time = np.array([1, 417, 999]) if case == "learned" else np.array([1.0, 417.5, 999.0], np.float32)
    x = images(3, 8, 16, options.in_channels)
    expected = output(model, x, time)
    assert np.std(expected) > 0.3
    np.testing.assert_allclose(apply(options, parameters, x, time), expected, atol=1e-4, rtol=0)


def test_the_two_families_differ_in_every_silent_option():
    """Each of the five changes diffusers' own output by more than the tolerance above: none of them could be wrong unseen."""
    x, time = images(2, 8, 8, 3), np.array([5.5, 800.0], np.float32)
    model = random_model(**HUGGING_FACE | {"norm_eps": 0.1})
    expected = output(model, x, time)
    for name in GOOGLE:
        other = random_model(**HUGGING_FACE | {"norm_eps": 0.1, name: GOOGLE[name]})
        other.load_state_dict(model.state_dict())
        assert np.abs(output(other, x, time) - expected).max() > 1e-3, name


def test_gradients_are_torchs():
    """In x and in every parameter."""
    model = random_model(**GOOGLE)
    x, time = images(2, 8, 8, 3), np.array([5, 800])
    weight = images(2, 8, 8, 3, seed=1)
    inputs = torch.tensor(np.moveaxis(x, -1, 1), requires_grad=True)
    (model(inputs, torch.tensor(time)).sample * torch.tensor(np.moveaxis(weight, -1, 1))).sum().backward()

    def scalar(parameters, x):
        out = UNet2D(options_of(model)).apply({"params": parameters}, x, jnp.asarray(time, jnp.float32))
        return jnp.sum(out * jnp.asarray(weight))

    by_parameters, by_x = jax.jit(jax.grad(scalar, (0, 1)))(parameters_of(model), jnp.asarray(x))
    np.testing.assert_allclose(by_x, np.moveaxis(inputs.grad.numpy(), 1, -1), atol=1e-3, rtol=1e-3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.grad)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3, rtol=1e-3), by_parameters, parameters_of(model)
    )


@pytest.mark.parametrize("first", [0, 1])
def test_the_convolution_with_stride_2_and_its_two_gradients_are_those_of_every_second_pixel(first):
    """Its own backward pass, differentiated again, against slices of the convolution of stride 1."""
    x, w = jnp.asarray(images(2, 6, 8, 3)), jnp.asarray(images(3, 3, 3, 4, seed=1))

    def both(halving):
        loss = lambda x, w: jnp.sum(jnp.sin(halving(x, w)))
        second = jax.grad(lambda x, w: jnp.sum(jnp.cos(jax.grad(loss)(x, w))), (0, 1))
        return jax.jit(lambda x, w: (halving(x, w), jax.grad(loss, (0, 1))(x, w), second(x, w)))(x, w)

    own = both(lambda x, w: halving_conv(x, w, first))
    reference = both(lambda x, w: conv(x, w)[:, first::2, first::2])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4, rtol=1e-4), own, reference)


def fresh(**options):
    """The options and the parameters of a new network; and the parameters moved, so that its output is not zero."""
    options = UNet2DOptions(**{**SMALL, **options})
    parameters = network(UNet2D(options), (8, 8, 3)).init(jax.random.key(0))
    return options, parameters, jax.tree.map(lambda a: a + 0.1, parameters)


def test_a_new_network_of_log_snr_starts_at_zero_and_tells_levels_apart():
    options, parameters, moved = fresh(time_embedding_type="log_snr")
    x, log_snr = images(2, 8, 8, 3), jnp.array([-3.0, 4.0])
    np.testing.assert_array_equal(apply(options, parameters, x, log_snr), 0)
    assert "time_proj" not in parameters
    assert np.abs(apply(options, moved, x, log_snr) - apply(options, moved, x, log_snr + 1)).max() > 1e-3


def test_dropout_depends_on_the_key_of_its_example_alone():
    options, _, moved = fresh(dropout=0.5)
    x, time, keys = images(3, 8, 8, 3), jnp.array([1.0, 2.0, 3.0]), jax.random.split(jax.random.key(1), 3)
    dropped = apply(options, moved, x, time, keys)
    assert np.abs(dropped - apply(options, moved, x, time)).max() > 1e-2
    np.testing.assert_allclose(apply(options, moved, x[1:2], time[1:2], keys[1:2]), dropped[1:2], atol=1e-5)


def test_a_learned_table_takes_the_nearest_row():
    options, _, moved = fresh(time_embedding_type="learned", num_train_timesteps=10)
    x = images(4, 8, 8, 3)
    found = apply(options, moved, x, jnp.array([3.4, 6.6, -2.0, 12.0]))
    np.testing.assert_array_equal(found, apply(options, moved, x, jnp.array([3.0, 7.0, 0.0, 9.0])))


def test_half_precision_is_near_and_its_output_float32():
    model = random_model()
    x, time = images(2, 8, 8, 3), [5.0, 800.0]
    exact = apply(options_of(model), parameters_of(model), x, time)
    half = apply(options_of(model), parameters_of(model), x, time, dtype=jnp.bfloat16)
    assert half.dtype == jnp.float32
    assert 1e-4 < np.abs(half - exact).max() < 0.2


def test_an_image_that_cannot_be_halved_is_refused():
    options, parameters, _ = fresh()
    with pytest.raises(ValueError, match=r"images of \(7, 8\), expected sides that 2 divides 1 times"):
        apply(options, parameters, np.zeros((1, 7, 8, 3)), np.zeros(1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_embedding_type", "cosine"),
        ("mid_block_type", "UNetMidBlock2DCrossAttn"),
        ("downsample_padding", 2),
        ("downsample_type", "fir"),
        ("upsample_type", None),
        ("act_fn", "tanh"),
        ("resnet_time_scale_shift", "spatial"),
        ("down_block_types", ("DownBlock2D", "SkipDownBlock2D")),
        ("up_block_types", ("KUpBlock2D", "UpBlock2D")),
        ("up_block_types", ("UpBlock2D",)),
        ("block_out_channels", (0, 4)),
        ("in_channels", 0),
        ("layers_per_block", 0),
        ("time_embedding_dim", -1),
        ("dropout", 1.0),
        ("norm_eps", 0.0),
        ("mid_block_scale_factor", 0.0),
        ("norm_num_groups", 3),
        ("attn_norm_num_groups", 3),
        ("attention_head_dim", 17),
        ("freq_shift", 4),
    ],
)
def test_a_value_that_we_do_not_have_is_refused_by_its_name(name, value):
    named = "block_out_channels" if name == "freq_shift" else name
    with pytest.raises(BadInput, match=rf"^here: {named} "):
        check_options(UNet2DOptions(**{**SMALL, name: value}), "here")


def test_a_learned_table_needs_its_number_of_rows():
    with pytest.raises(BadInput, match="num_train_timesteps"):
        check_options(UNet2DOptions(**SMALL, time_embedding_type="learned"))
