"""Folders that diffusers itself writes are read exactly, in every layout; and what is not of our network is refused by its name."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, PNDMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel

from sde_vae.diffusion.scores import noise_of_velocity
from sde_vae.errors import BadInput
from sde_vae.nets.unet2d_options import UNet2DOptions, options_from
from sde_vae.pretrained.diffusers import find
from sde_vae.pretrained.parts import parts_of
from tests.helpers.diffusers_models import GOOGLE, HUGGING_FACE, options_of, output, parameters_of, random_model

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def edit(path, **changes):
    """Change options of a JSON file; `...` removes one."""
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not ...}))


@pytest.fixture(scope="module")
def model():
    return random_model(**GOOGLE)


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusers") / "pipeline"
    DDPMPipeline(model, DDPMScheduler()).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "pipeline")


def test_a_pipeline_is_read_as_it_is(folder, model):
    found = find(folder)
    assert options_from(found.spec.options) == options_of(model)
    assert (found.spec.image_shape, found.spec.prediction, found.spec.time) == ((8, 8, 3), "noise", "step")
    # To the rounding of float32, in which diffusers takes the product.
    np.testing.assert_allclose(found.spec.schedule["alphas_cumprod"], DDPMScheduler().alphas_cumprod, rtol=1e-4)
    equal(found.read(), parameters_of(model))
    assert found.spec.notes == (
        "its scheduler clips x_0 to +-1.0 while it samples; config.sampling.clip_sample = True does",
    )
    json.dumps(found.spec._asdict())


def test_its_noise_is_that_of_diffusers_at_every_step(folder, model):
    """Through logSNR and back, as the prior of a run is evaluated: at whole steps the network gets these steps."""
    found = find(folder)
    sde, net, _ = parts_of(found.spec)
    steps = np.array([0, 1, 421, 999])
    x = np.random.default_rng(0).standard_normal((4, 8, 8, 3)).astype(np.float32)
    t = jnp.asarray(steps, jnp.float32)
    assert sde.t_of_log_snr(sde.log_snr(t)).tolist() == steps.tolist()
    run = jax.jit(net.apply, compiler_options={"xla_backend_optimization_level": 0})
    noise = run(found.read(), jnp.asarray(x), sde.log_snr(t))
    np.testing.assert_allclose(noise, output(model, x, steps), atol=1e-4, rtol=0)


def test_weights_of_torch_are_the_same(folder, model):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "unet" / "diffusion_pytorch_model.bin")
    equal(find(folder).read(), parameters_of(model))


def test_a_flat_folder_is_the_same(folder, model, tmp_path):
    """All files side by side, as google/ddpm-* has them."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in folder.rglob("*.*"):
        shutil.copy(file, flat)
    found = find(flat)
    assert found.spec == find(folder).spec
    equal(found.read(), parameters_of(model))


@pytest.mark.parametrize("kernel", [(), (1, 1)], ids=["linear", "1x1 convolution"])
def test_the_old_names_of_attention_are_the_same(folder, model, kernel):
    old = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}
    tensors = {}
    for name, tensor in model.state_dict().items():
        of_attention = [new for new in old if new in name]
        shape = (*tensor.shape, *kernel) if of_attention and name.endswith("weight") else tensor.shape
        renamed = name.replace(of_attention[0], old[of_attention[0]]) if of_attention else name
        tensors[renamed] = tensor.reshape(shape)
    assert "mid_block.attentions.0.proj_attn.bias" in tensors
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(tensors, folder / "unet" / "diffusion_pytorch_model.bin")
    equal(find(folder).read(), parameters_of(model))


def test_averaged_weights_are_preferred_and_said(folder, model):
    other = random_model(seed=1, **GOOGLE)
    # As diffusers' training script writes it, with the state of the average among the options.
    EMAModel(other.parameters(), model_cls=UNet2DModel, model_config=other.config).save_pretrained(folder / "unet_ema")
    assert "decay" in json.loads((folder / "unet_ema" / "config.json").read_text())
    found = find(folder)
    equal(found.read(), parameters_of(other))
    assert found.spec.notes[0] == "the averaged weights (EMA) of unet_ema/ are read"
    shutil.rmtree(folder / "unet")
    equal(find(folder).read(), parameters_of(other))


def test_half_precision_becomes_float32(tmp_path):
    model = random_model(**HUGGING_FACE).half()
    DDPMPipeline(model, DDPMScheduler()).save_pretrained(tmp_path / "half", variant="fp16")
    read = find(tmp_path / "half").read()
    assert all(a.dtype == np.float32 for a in jax.tree.leaves(read))
    equal(read, parameters_of(model.float()))


def test_a_bare_network_needs_a_scheduler(folder, model, tmp_path):
    bare = folder / "unet"
    with pytest.raises(BadInput, match=r"^config.prior.scheduler: .*no scheduler_config.json.*ddpm_linear"):
        find(bare)
    for given in (folder, folder / "scheduler", folder / "scheduler" / "scheduler_config.json", "ddpm_linear"):
        found = find(bare, str(given))
        assert found.spec.schedule == find(folder).spec.schedule
        assert "as config.prior.scheduler says" in found.spec.notes[0]
    assert find(folder, "ddpm_linear_v_prediction").spec.prediction == "velocity"
    with pytest.raises(BadInput, match=r"^config.prior.scheduler.*'ddpm_linaer', did you mean 'ddpm_linear'"):
        find(bare, "ddpm_linaer")
    with pytest.raises(BadInput, match="has no scheduler_config"):
        find(bare, str(tmp_path))


def test_absent_options_are_diffusers_defaults_of_today_and_said(folder):
    """attention_head_dim is 8 where it is absent, and not null: diffusers reads it so."""
    edit(folder / "unet" / "config.json", attention_head_dim=..., norm_eps=..., mid_block_type=..., dropout=...)
    edit(folder / "scheduler" / "scheduler_config.json", beta_end=..., prediction_type=...)
    spec = find(folder).spec
    assert (spec.options["attention_head_dim"], spec.options["norm_eps"]) == (8, 1e-5)
    assert [note for note in spec.notes if "lacks" in note] == [
        "config.json lacks options; diffusers' defaults of today are taken: attention_head_dim 8, norm_eps 1e-05",
        "scheduler_config.json lacks options; diffusers' defaults of today are taken: beta_end 0.02",
    ]


def test_our_defaults_are_diffusers():
    """Of every option, as the installed version has them."""
    model = UNet2DModel(block_out_channels=(32, 32, 32, 32))
    assert options_of(model) == UNet2DOptions(block_out_channels=(32, 32, 32, 32))


SCHEDULERS = {
    "linear": DDPMScheduler(),
    "scaled_linear": DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
    "squaredcos_cap_v2": DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
    "sigmoid": DDPMScheduler(beta_schedule="sigmoid"),
    "ddim": DDIMScheduler(num_train_timesteps=300),
    "trained_betas": DDPMScheduler(num_train_timesteps=50, trained_betas=np.linspace(1e-3, 0.3, 50).tolist()),
    "zero SNR": DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction"),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedules_are_diffusers(folder, name):
    scheduler = SCHEDULERS[name]
    scheduler.save_pretrained(folder / "scheduler")
    found = find(folder).spec
    # In diffusers 1 - beta is rounded to float32, as is the product.
    np.testing.assert_allclose(found.schedule["alphas_cumprod"], scheduler.alphas_cumprod, rtol=1e-4, atol=1e-9)
    sde = parts_of(found).sde
    assert len(scheduler.alphas_cumprod) - (2 if name == "zero SNR" else 1) == sde.T
    if name == "zero SNR":
        assert "the last step, 999, has zero SNR and is left out: T is 998" in found.notes


def test_what_is_predicted_is_told(folder):
    """diffusers' v is alpha eps - sigma x_0, and ours too."""
    file = folder / "scheduler" / "scheduler_config.json"
    for theirs, ours in {"epsilon": "noise", "sample": "denoised", "v_prediction": "velocity"}.items():
        edit(file, prediction_type=theirs)
        assert find(folder).spec.prediction == ours
    sde, scheduler = parts_of(find(folder).spec).sde, DDPMScheduler()
    x_0, eps = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    steps = torch.tensor([10, 900])
    v, x = scheduler.get_velocity(x_0, eps, steps), scheduler.add_noise(x_0, eps, steps)
    noise = noise_of_velocity(sde, jnp.asarray(v.numpy()), jnp.asarray(x.numpy()), jnp.asarray([10.0, 900.0]))
    np.testing.assert_allclose(noise, eps.numpy(), atol=1e-4)
    edit(file, prediction_type="epsilon", predict_epsilon=False)
    assert find(folder).spec.prediction == "denoised"


def test_a_fourier_network_begins_at_step_1_and_a_table_at_its_nearest_row(tmp_path):
    model = random_model(time_embedding_type="fourier")
    DDPMPipeline(model, DDPMScheduler()).save_pretrained(tmp_path / "fourier")
    assert parts_of(find(tmp_path / "fourier").spec).sde.t_min == 1.0
    model = random_model(time_embedding_type="learned", num_train_timesteps=20)
    DDPMPipeline(model, DDPMScheduler(20)).save_pretrained(tmp_path / "learned")
    assert any("nearest row" in note for note in find(tmp_path / "learned").spec.notes)
    DDPMScheduler(30).save_pretrained(tmp_path / "learned" / "scheduler")
    with pytest.raises(BadInput, match="num_train_timesteps is 20, expected 30"):
        find(tmp_path / "learned")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "UNet2DConditionModel"}, "_class_name is 'UNet2DConditionModel'"),
        ({"down_block_types": ["SkipDownBlock2D", "DownBlock2D"]}, "down_block_types has 'SkipDownBlock2D'"),
        ({"up_block_types": ["KUpBlock2D", "UpBlock2D"]}, "up_block_types has 'KUpBlock2D'"),
        ({"class_embed_type": "timestep"}, "class_embed_type is 'timestep'"),
        ({"num_class_embeds": 10}, "num_class_embeds is 10"),
        ({"norm_num_groups": None}, "norm_num_groups is None"),
        ({"act_fn": "tanh"}, "act_fn is 'tanh'"),
        ({"time_embedding_type": "log_snr"}, "time_embedding_type is 'log_snr'"),
        ({"out_channels": 6}, "out_channels is 6, expected in_channels, 3: a learned variance"),
        ({"sample_size": 7}, "sample_size is 7, expected multiples of 2"),
        ({"layers_per_block": 10**9}, "layers_per_block is 1000000000"),
        ({"block_out_channels": "8, 16"}, "block_out_channels is '8, 16'"),
        ({"freq_shift": True}, "freq_shift is True, expected a number"),
        ({"norm_eps": float("nan")}, "norm_eps is nan, expected a number"),
        ({"skip_time_act": True}, "unknown option skip_time_act = True"),
    ],
)
def test_a_network_that_we_do_not_have_is_refused_by_the_option(folder, changes, message):
    edit(folder / "unet" / "config.json", **changes)
    with pytest.raises(BadInput, match=rf"unet/config.json: {message}"):
        find(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "PNDMScheduler"}, "_class_name is 'PNDMScheduler', expected DDPMScheduler or DDIMScheduler"),
        ({"beta_schedule": "laplace"}, "beta_schedule: unknown name 'laplace'"),
        ({"prediction_type": "flow"}, "prediction_type: unknown name 'flow'"),
        ({"rescale_betas_zero_snr": True}, "prediction_type is 'epsilon', expected 'v_prediction' or 'sample'"),
        ({"trained_betas": [0.1, 0.2]}, "trained_betas has 2 numbers, expected num_train_timesteps, 1000"),
        ({"trained_betas": [0.1, -0.2], "num_train_timesteps": 2}, "its betas make no schedule"),
        ({"beta_start": 0.5, "beta_end": 0.1}, "beta_start 0.5 and beta_end 0.1"),
        ({"num_train_timesteps": "1000"}, "num_train_timesteps is '1000', expected a whole number"),
    ],
)
def test_a_schedule_that_we_do_not_have_is_refused_by_the_option(folder, changes, message):
    edit(folder / "scheduler" / "scheduler_config.json", **changes)
    with pytest.raises(BadInput, match=rf"scheduler_config.json: {message}"):
        find(folder)


def test_another_scheduler_of_diffusers_is_refused(folder):
    PNDMScheduler().save_pretrained(folder / "scheduler")
    with pytest.raises(BadInput, match="PNDMScheduler"):
        find(folder)


def test_weights_that_do_not_fit_are_refused_by_the_tensor(folder, model):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    file, good = folder / "unet" / "diffusion_pytorch_model.bin", model.state_dict()
    name = "up_blocks.0.resnets.1.conv1.weight"
    cases = {
        f"{name} is missing": {n: a for n, a in good.items() if n != name},
        f"{name}: a tensor float32.*, expected a float one": good | {name: good[name][..., :1]},
        f"{name}: a tensor int64": good | {name: good[name].long()},
        f"{name} has numbers that are not finite": good | {name: good[name] / 0},
        r"class_embedding.weight \(of 1\) is not a tensor of the network": good
        | {"class_embedding.weight": torch.ones(2)},
    }
    for message, tensors in cases.items():
        torch.save(tensors, file)
        with pytest.raises(BadInput, match=rf"diffusion_pytorch_model.bin: {message}"):
            find(folder).read()
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(BadInput, match="corrupt or cut short"):
        find(folder).read()
    file.unlink()
    with pytest.raises(BadInput, match="no weights"):
        find(folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text("{}")
    with pytest.raises(BadInput, match="several files"):
        find(folder)


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, "9" * 5000, '{"a": "' + "x" * 4_000_000 + '"}', "\xff"])
def test_json_that_is_none_is_refused(folder, text):
    (folder / "unet" / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=r"unet/config.json: "):
        find(folder)


def test_other_folders_are_no_folders_of_diffusers(tmp_path):
    """A workdir of ours has a config.json too."""
    assert find(tmp_path) is None
    (tmp_path / "config.json").write_text(json.dumps({"config": {"method": "score_vae"}}))
    assert find(tmp_path) is None
    assert find(tmp_path / "config.json") is None


def test_a_model_of_latents_is_refused(folder):
    edit(folder / "model_index.json", vqvae=["diffusers", "VQModel"])
    with pytest.raises(BadInput, match="the pipeline has a vqvae"):
        find(folder)
