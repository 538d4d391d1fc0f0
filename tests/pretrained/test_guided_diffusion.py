"""Files of guided-diffusion and its relatives: UNet2D gives what their network gives, and what is not in the file is asked for."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.faults.reader_files import strangers_file
from sde_vae.errors import BadInput
from sde_vae.nets.unet2d import UNet2D
from sde_vae.nets.unet2d_options import options_from
from sde_vae.pretrained import guided_diffusion
from sde_vae.pretrained.diffusers import shapes_of
from sde_vae.pretrained.diffusers_schedulers import DEFAULTS, alphas_cumprod
from sde_vae.pretrained.guided_diffusion_presets import PRESETS
from sde_vae.pretrained.guided_diffusion_shapes import options_of, with_heads
from sde_vae.pretrained.open import open_prior
from sde_vae.pretrained.parts import parts_of

torch = pytest.importorskip("torch")

from tests.helpers.adm_twin import Twin, forward, shapes, state
from tests.helpers.rarely import rarely

FLAGS = {"image_size": 8, "num_heads": 2, "noise_schedule": "linear", "diffusion_steps": 1000}
CASES = {
    "several heads, learned variance": (Twin(outputs=6), {}),
    "new order": (Twin(new_order=True), {"use_new_attention_order": True}),
    "convolutions that resample": (Twin(updown=False), {}),
    "added time, one head": (Twin(scale_shift=False, heads=1, updown=False), {"num_heads": 1}),
    "head channels, everywhere": (Twin(attention=(0, 1), multipliers=(1, 1), heads=2), {"num_head_channels": 16}),
    "two blocks, three sizes, as diffae": (
        Twin(multipliers=(1, 1, 2), blocks=2, attention=(1,), embedding=48, heads=1),
        {"num_heads": 1},
    ),
    "no attention in the middle": (Twin(middle=False), {}),
    "grey": (Twin(inputs=1, outputs=2), {}),
}


def written(folder, tensors, flags=FLAGS, **more):
    path = folder / "model.pt"
    torch.save(tensors, path)
    (folder / "model.pt.json").write_text(json.dumps(flags | more))
    return path


def difference(file, twin, tensors, side=8, scale=1.0):
    """The largest difference between UNet2D and the twin at random images, at whole and fractional steps."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, side, side, twin.inputs)).astype(np.float32)
    t = np.asarray([0.0, 37.5, 999.0], np.float32)
    module = UNet2D(options_from(file.spec.options))
    ours = jax.jit(module.apply)({"params": file.read()}, jnp.asarray(x), jnp.asarray(t * scale))
    with torch.no_grad():
        theirs = forward(tensors, twin, torch.from_numpy(np.moveaxis(x, -1, 1).copy()), torch.from_numpy(t * scale))
    theirs = np.moveaxis(theirs.numpy(), 1, -1)[..., : twin.inputs]
    assert np.std(theirs) > 0.1
    return np.max(np.abs(np.asarray(ours) - theirs))


RARE = ("added time, one head", "no attention in the middle", "convolutions that resample")


@pytest.mark.parametrize("case", [*(case for case in CASES if case not in RARE), *rarely(*RARE)])
def test_unet2d_gives_what_the_network_gives(tmp_path, case):
    """To 1e-4 on outputs of order 1, in float32: another order of sums."""
    twin, flags = CASES[case]
    tensors = state(twin)
    file = guided_diffusion.find(written(tmp_path, tensors, **flags))
    assert difference(file, twin, tensors) < 1e-4
    assert file.spec.image_shape == (8, 8, twin.inputs)
    assert [note for note in file.spec.notes if "variances" in note] != [] or twin.outputs == twin.inputs


def test_the_order_of_qkv_matters(tmp_path):
    twin = Twin(new_order=True)
    tensors = state(twin)
    assert difference(guided_diffusion.find(written(tmp_path, tensors)), twin, tensors) > 0.01


@pytest.mark.parametrize("how", [{}, {"_use_new_zipfile_serialization": False}], ids=["zip", "legacy"])
def test_the_averaged_network_is_read_out_of_a_training(tmp_path, how):
    """As diffae's files of Lightning: callbacks of unknown classes, an optimizer, buffers, and the network twice."""
    twin = Twin(heads=1)
    raw, averaged = state(twin, 1), state(twin, 2)

    def tree(callback):
        stranger = callback(path="x")
        stranger.best = 1.0
        networks = {**{f"model.{n}": t for n, t in raw.items()}, **{f"ema_model.{n}": t for n, t in averaged.items()}}
        return {
            "epoch": 1,
            "pytorch-lightning_version": "1.4.5",
            "state_dict": {**networks, "x_T": torch.zeros(2, 3, 8, 8), "conds_mean": torch.zeros(1, 4)},
            "callbacks": {callback: stranger},
            "optimizer_states": [
                {"state": {0: {"step": 3, "exp_avg": torch.zeros(3)}}, "param_groups": [{"params": [0]}]}
            ],
            "hyper_parameters": {"name": "ffhq", "net_ch_mult": (1, 2), "stranger": stranger},
        }

    path = tmp_path / "last.ckpt"
    path.write_bytes(strangers_file(tree, **how))
    (tmp_path / "last.ckpt.json").write_text(json.dumps(FLAGS | {"num_heads": 1}))
    file = guided_diffusion.find(path)
    assert difference(file, twin, averaged) < 1e-4
    assert any("state_dict/ema_model.*; others are not read: state_dict/model." in note for note in file.spec.notes)


def test_the_network_is_evaluated_at_its_own_steps(tmp_path):
    """Through SDE and logSNR, with 50 steps rescaled to 1000: at step k the network gets 20 k, up to the rounding of logSNR."""
    twin = Twin()
    tensors = state(twin)
    flags = {"diffusion_steps": 50, "rescale_timesteps": True, "noise_schedule": "cosine"}
    spec, read = open_prior(written(tmp_path, tensors, **flags))
    assert spec.time == {"step_scale": 20.0}
    sde, network, _ = parts_of(spec)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    k = jnp.asarray([3.0, 40.0])
    ours = jax.jit(network.apply)(read(), jnp.asarray(x), sde.log_snr(k))
    with torch.no_grad():
        theirs = forward(tensors, twin, torch.from_numpy(np.moveaxis(x, -1, 1).copy()), torch.tensor([60.0, 800.0]))
    np.testing.assert_allclose(np.moveaxis(np.asarray(ours), -1, 1), theirs.numpy(), atol=1e-3)


@pytest.mark.parametrize(("name", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_schedules_of_a_thousand_steps_are_those_of_diffusers(tmp_path, name, theirs):
    """diffusers rounds its betas to float32: relative 2e-7 a step, 1e-4 over all."""
    spec = guided_diffusion.find(written(tmp_path, state(Twin()), noise_schedule=name)).spec
    expected = alphas_cumprod(DEFAULTS | {"beta_schedule": theirs}, "")
    np.testing.assert_allclose(np.log(spec.schedule["alphas_cumprod"])[:-1], np.log(expected)[:-1], rtol=1e-4)


FULL = {
    "openai-256-uncond": (Twin(256, (1, 1, 2, 2, 4, 4), 2, (3, 4, 5), embedding=1024, outputs=6), 552_814_086),
    "ffhq-dps": (Twin(128, (1, 1, 2, 2, 4, 4), 1, (4,), embedding=512, outputs=6), None),
    "diffae-ffhq128": (Twin(128, (1, 1, 2, 3, 4), 2, (3,), embedding=512), None),
    "improved-cifar10": (Twin(128, (1, 2, 2, 2), 3, (1, 2), updown=False, embedding=512, outputs=6), None),
    "improved-lsun-bedroom": (
        *(Twin(128, (1, 1, 2, 2, 4, 4), 2, (4,), updown=False, scale_shift=False, embedding=512, outputs=6), None),
    ),
}


def checked(found, preset):
    """The options that shapes and a preset tell, where they fit."""
    options = with_heads(options_of(found, "x"), PRESETS[preset].settings, "x")
    guided_diffusion._check(found, shapes_of(options), options, "x")
    return options


@pytest.mark.parametrize("preset", FULL)
def test_presets_fit_the_published_networks(preset):
    """Every tensor of the whole network is a parameter of UNet2D, and every parameter is a tensor."""
    twin, parameters = FULL[preset]
    found = shapes(twin)
    options = checked(found, preset)
    assert (PRESETS[preset].channels, PRESETS[preset].blocks) == (options.block_out_channels, options.layers_per_block)
    assert parameters in (None, sum(int(np.prod(shape)) for shape in found.values()))


def test_heads_and_schedule_are_asked_for(tmp_path):
    path = written(tmp_path, state(Twin()))
    (tmp_path / "model.pt.json").unlink()
    with pytest.raises(
        BadInput,
        match=r"does not say its heads and schedule; give one of diffae-bedroom128, .*openai-256-uncond, .*model\.pt\.json",
    ):
        guided_diffusion.find(path)
    with pytest.raises(BadInput, match=r"unknown name 'ffhq-dsp', did you mean 'ffhq-dps'"):
        guided_diffusion.find(path, "ffhq-dsp")
    with pytest.raises(BadInput, match=r"ffhq-dps has channels \(128, 128, 256, 256, 512, 512\) and 1 blocks"):
        guided_diffusion.find(path, "ffhq-dps")


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({"num_heads": 3}, "3 heads do not divide the channels of the attention"),
        ({"num_head_channels": 48}, "heads of 48 channels do not divide the channels"),
        ({"image_size": 9}, "image_size is 9, expected a multiple of 2"),
        ({"noise_schedule": "sqrt"}, "noise_schedule: unknown name 'sqrt'"),
        ({"diffusion_steps": 1.5}, "diffusion_steps is 1.5, expected a whole number"),
        ({"num_channels": 32}, "unknown name 'num_channels'"),
    ],
)
def test_flags_are_checked(tmp_path, flags, why):
    with pytest.raises(BadInput, match=why):
        guided_diffusion.find(written(tmp_path, state(Twin()), **flags))


def without(name):
    return lambda s: s.pop(name)


def without_block(start):
    return lambda s: [s.pop(name) for name in list(s) if name.startswith(start)]


def change(name, tensor):
    return lambda s: s.update({name: tensor})


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (change("label_emb.weight", torch.zeros(1000, 128)), "label_emb: the network takes classes"),
        (without("input_blocks.1.0.in_layers.2.bias"), r"input_blocks\.1\.0\.in_layers\.2\.bias is missing"),
        (change("out.0.weight", torch.zeros(31)), r"out\.0\.weight has the shape \[31\], expected \[32\]"),
        (
            change("input_blocks.1.0.cond_emb_layers.1.weight", torch.zeros(3)),
            "cond_emb_layers.1.weight .*is no tensor of guided-diffusion",
        ),
        (change("out.2.weight", torch.zeros(5, 32, 3, 3)), "out.2.weight gives 5 channels"),
        (change("time_embed.0.weight", torch.zeros(128, 64)), "takes 64 sinusoids"),
        (without_block("input_blocks.3."), r"3 input_blocks and 4 output_blocks, of which \[1\] double the size"),
        (
            without("output_blocks.1.1.qkv.weight"),
            r"output_blocks\.0 has attention and output_blocks\.1 of the same size has none",
        ),
    ],
)
def test_other_networks_are_refused_with_the_place(tmp_path, spoil, why):
    tensors = state(Twin())
    spoil(tensors)
    with pytest.raises(BadInput, match=why):
        guided_diffusion.find(written(tmp_path, tensors))


@pytest.mark.parametrize("seed", range(6))
def test_a_network_with_any_other_tensors_is_refused(seed):
    """One tensor dropped, renamed or of another shape, wherever it is."""
    found, rng = dict(shapes(Twin())), np.random.default_rng(seed)
    name = str(rng.choice(sorted(found)))
    shape = found.pop(name)
    found |= [{}, {f"{name}s": shape}, {name: (*shape, 1)}][seed % 3]
    with pytest.raises(BadInput, match=r"^x: "):
        checked(found, "diffae-ffhq128")


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    tensors = state(Twin())
    tensors["middle_block.1.qkv.bias"][5] = float("nan")
    file = guided_diffusion.find(written(tmp_path, tensors))
    with pytest.raises(BadInput, match=r"middle_block\.1\.qkv\.bias has numbers that are not finite"):
        file.read()


def test_heads_of_several_widths_are_refused():
    """improved-diffusion's ImageNet-64: 4 heads of 96 channels at 16x16, and of 128 at 8x8."""
    twin = Twin(128, (1, 2, 3, 4), 3, (2, 3), updown=False, embedding=512)
    with pytest.raises(BadInput, match=r"4 heads of attention over \[384, 512\] channels differ"):
        with_heads(options_of(shapes(twin), "x"), PRESETS["improved-cifar10"].settings, "x")


def test_other_files_are_passed_over(tmp_path):
    (tmp_path / "a").write_bytes(b"\x86\xa4step\x01")
    torch.save({"a": torch.zeros(1)}, tmp_path / "b")
    assert guided_diffusion.find(tmp_path) is None
    assert guided_diffusion.find(tmp_path / "a") is None
    assert guided_diffusion.find(tmp_path / "b") is None
