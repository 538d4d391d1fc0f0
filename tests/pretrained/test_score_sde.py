"""Checkpoints of score_sde become the model that they were, and a file that is not whole is refused with the tensor's name."""

import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sde_vae.diffusion.scores import score_of_noise
from sde_vae.diffusion.sdes import fault_of
from sde_vae.errors import BadInput
from sde_vae.methods.prior import precondition, predicts_noise
from sde_vae.nets.score_sde_options import ScoreSDEOptions, checked
from sde_vae.pretrained import score_sde
from sde_vae.pretrained.parts import parts_of
from sde_vae.pretrained.score_sde import find
from sde_vae.pretrained.score_sde_files import FLAX, TORCH, Tensors, from_torch
from sde_vae.pretrained.score_sde_names import converted, torch_sources
from sde_vae.pretrained.score_sde_presets import PRESETS, Preset
from sde_vae.pretrained.score_sde_spec import preset_named, preset_of, spec_of
from sde_vae.pretrained.spec import PriorSpec
from tests.helpers.score_sde_files import sigmas_of, write_fields, write_flax, write_torch
from tests.helpers.score_sde_twin import Net, weights_of

# Names and shapes of the originals, which were instantiated.
LAYOUTS = json.loads(gzip.decompress((Path(__file__).parent / "layouts" / "score_sde.json.gz").read_bytes()))
FITTING = {
    "flax_ve.bedroom_ncsnpp_continuous": "ve/bedroom_ncsnpp_continuous, ve/church_ncsnpp_continuous, "
    "ve/celebahq_256_ncsnpp_continuous, ve/ffhq_256_ncsnpp_continuous",
    "flax_ve.celeba_ncsnpp": "vp/cifar10_ncsnpp, vp/cifar10_ncsnpp_continuous, subvp/cifar10_ncsnpp_continuous, ve/cifar10_ncsnpp, "
    "ve/celeba_ncsnpp",
    "flax_vp.cifar10_ddpmpp_continuous": "vp/cifar10_ddpmpp, vp/cifar10_ddpmpp_continuous, subvp/cifar10_ddpmpp_continuous",
    "flax_vp.ddpm.celebahq": "vp/ddpm/bedroom, vp/ddpm/celebahq, vp/ddpm/church",
    "flax_vp.ddpm.cifar10_continuous": "vp/ddpm/cifar10, vp/ddpm/cifar10_continuous, subvp/cifar10_ddpm_continuous, ve/cifar10_ddpm",
    # The noise levels in the file tell the bedrooms from the faces.
    "torch_ve.celebahq_256_ncsnpp_continuous": "ve/celebahq_256_ncsnpp_continuous, ve/ffhq_256_ncsnpp_continuous",
    "torch_vp.cifar10_ddpmpp_continuous": "vp/cifar10_ddpmpp, vp/cifar10_ddpmpp_continuous, subvp/cifar10_ddpmpp_continuous",
    "torch_vp.ddpm.celebahq": "vp/ddpm/bedroom, vp/ddpm/celebahq, vp/ddpm/church",
}
OPTIONS = ScoreSDEOptions(
    "ncsnpp", 8, nf=8, ch_mult=(1,), num_res_blocks=1, channels=1, skip_rescale=True, resblock_type="biggan"
)
VE = OPTIONS._replace(centered=False, scale_by_sigma=True)
MODELS = {
    "vp": Preset(OPTIONS, "vpsde"),
    "vp, discrete": Preset(OPTIONS, "vpsde", continuous=False, num_scales=50, beta_max=8.0),
    "sub-vp": Preset(OPTIONS, "subvpsde", beta_max=18.0),
    "ve": Preset(VE._replace(embedding_type="fourier"), "vesde", sigma_max=90.0),
    "ve, discrete": Preset(VE, "vesde", continuous=False, num_scales=40),
    "ve, centred, undivided": Preset(OPTIONS._replace(embedding_type="fourier"), "vesde"),
}


def tensors_of(layout):
    """The tensors of a layout, which take no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in LAYOUTS[layout].items()}


def through_json(spec):
    """The description of a model as a run keeps it."""
    return PriorSpec(**json.loads(json.dumps(spec._asdict())))._replace(image_shape=tuple(spec.image_shape))


@pytest.mark.parametrize(
    "layout", [pytest.param(name, marks=pytest.mark.slow if name.startswith("flax_ve") else ()) for name in FITTING]
)
def test_the_originals_trees_fit_exactly_their_configs(layout, tmp_path, monkeypatch):
    """All names, no name too many, and all shapes. Configs that describe the same model are one answer."""
    kind, _, name = layout.partition("_")
    arrays = tensors_of(layout)
    if kind == "torch":
        n = len(arrays["sigmas"])
        assert n == preset_named(name.replace(".", "/"))[1].num_scales
        arrays["sigmas"] = sigmas_of(preset_named(name.replace(".", "/"))[1]).numpy()
        arrays = {f"model/module.{tensor}": array for tensor, array in arrays.items()}
        read = TORCH._replace(read=lambda path: from_torch(arrays, str(path)))
    else:
        read = FLAX._replace(read=lambda path: Tensors(arrays))
    monkeypatch.setattr(score_sde, "format_of", lambda path: read)
    names = FITTING[layout].split(", ")
    for given in (name.replace(".", "/"), *names):
        assert find(tmp_path / "checkpoint", given) is not None
    if len({PRESETS[name] for name in names}) == 1:
        found = find(tmp_path / "checkpoint")
        assert found is not None
        assert found.spec.notes[0] == f"preset {FITTING[layout]}, the only model of score_sde that has these tensors"
    else:
        with pytest.raises(BadInput, match=f": {FITTING[layout]}$"):
            find(tmp_path / "checkpoint")
    with pytest.raises(BadInput, match=r"checkpoint: (it has no tensor|the tensor|.*noise levels)"):
        find(tmp_path / "checkpoint", "ve/ffhq_ncsnpp_continuous")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_model_whose_sde_has_no_fault(name):
    preset = PRESETS[name]
    assert preset_of({"preset": name}, "mine") == preset
    assert checked(preset.options, name) == preset.options
    spec = spec_of(preset, "score_sde", ())
    sde: Any = parts_of(through_json(spec)).sde
    # A discrete schedule begins at step 0.
    assert fault_of(dataclasses.replace(sde, t_min=sde.t_min or 1.0)) == ""
    assert preset_named(name) == (name, preset)
    assert preset_named(f"configs/{name}.py") == (name, preset)


def original_score(preset, weights, x, t):
    """The score in score_sde's units at its own times, t in [0, 1]: arXiv:2011.13456, appendices B and C."""
    net, o, k = Net(weights, preset.options), preset.options, preset.num_scales - 1
    B = preset.beta_min * t + (preset.beta_max - preset.beta_min) * t**2 / 2
    alphas = 1 - torch.linspace(preset.beta_min / preset.num_scales, preset.beta_max / preset.num_scales, k + 1)
    sigma = preset.sigma_min * (preset.sigma_max / preset.sigma_min) ** t
    column = (slice(None), None, None, None)
    if preset.sde == "subvpsde":
        return -net(x, 999 * t) / (1 - torch.exp(-B))[column]
    if preset.sde == "vpsde" and preset.continuous:
        return -net(x, 999 * t) / (1 - torch.exp(-B)).sqrt()[column]
    if preset.sde == "vpsde":
        return -net(x, k * t) / (1 - torch.cumprod(alphas, 0)).sqrt()[(k * t).round().long()][column]
    if preset.continuous:
        return net(x, sigma) / (sigma[column] if o.scale_by_sigma else 1)
    labels = torch.round((1 - t) * k)
    return net(x, labels) / sigmas_of(preset)[labels.long()][column]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["torch", "flax"])
def test_a_file_gives_the_score_of_the_original(model, kind, tmp_path):
    """In our units, y = (x + 1) / 2 where the original sees [0, 1], through what every solver calls."""
    preset, path = MODELS[model], tmp_path / "checkpoint_5"
    weights = weights_of(preset.options)
    write = {"torch": write_torch, "flax": write_flax}[kind]
    write(path, preset, weights)
    write_fields(path, preset)
    found = find(path)
    assert found is not None
    assert found.spec.notes[0] == "options from checkpoint_5.json"
    (sde, net, prediction), params = parts_of(through_json(found.spec)), found.read()
    assert prediction is predicts_noise

    # Times on the grids of 40 and 50 levels, ends included.
    t = np.array([0.0 if "discrete" in model else 1e-2, 1.0, 0.0], np.float32)
    t[2] = 13 / (preset.num_scales - 1) if "discrete" in model else 0.37
    ours = t * sde.T
    unit = 1.0 if preset.options.centered else 0.5
    x = np.random.default_rng(0).standard_normal((3, 8, 8, 1)).astype(np.float32)
    x *= np.asarray(sde.alpha(jnp.asarray(ours)) + sde.sigma(jnp.asarray(ours)))[:, None, None, None]
    y = torch.tensor(x.transpose(0, 3, 1, 2))
    with torch.no_grad():
        expected = unit * original_score(preset, weights, y if unit == 1 else (y + 1) / 2, torch.tensor(t))
    expected = expected.numpy().transpose(0, 2, 3, 1)

    score = jax.jit(lambda params, x, t: score_of_noise(sde, precondition(sde, net, params, x, t, None), t))
    found_score = np.asarray(score(params, jnp.asarray(x), jnp.asarray(ours)))
    for one, other in zip(found_score, expected, strict=True):
        # The time goes through logSNR, which costs a few ulp, and 999 t is known to 1e-4.
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-3 * np.std(other))


def test_times_between_levels_take_the_nearest_level():
    """And a VE score is then the output over the sigma of that level, as in score_sde."""
    preset = MODELS["ve, discrete"]
    sde, net, _ = parts_of(spec_of(preset, "score_sde", ()))
    weights = {name: tensor.numpy() for name, tensor in weights_of(preset.options).items()}
    params = converted(torch_sources(preset.options), weights, "the twin")
    t = jnp.array([13.0, 13.4, 12.7]) / 39
    x = jnp.ones((3, 8, 8, 1))
    scaled = x / jnp.sqrt(1 + sde.sigma(t) ** 2)[:, None, None, None]
    eps = np.asarray(jax.jit(net.apply)(params, scaled, sde.log_snr(t)))
    assert np.std(eps) > 0.1
    for i in (1, 2):
        np.testing.assert_allclose(eps[i] / sde.sigma(t)[i], eps[0] / sde.sigma(t)[0], rtol=1e-3, atol=1e-5)


def test_norms_of_old_flax_have_axes_of_length_one(tmp_path):
    preset = MODELS["vp"]
    weights, trees = weights_of(preset.options), []
    for old in (False, True):
        write_flax(tmp_path / "checkpoint_5", preset, weights, old)
        write_fields(tmp_path / "checkpoint_5", preset)
        trees.append(find(tmp_path / "checkpoint_5").read())
    jax.tree.map(np.testing.assert_array_equal, *trees)


def test_without_averages_the_parameters_are_taken_and_this_is_said(tmp_path):
    preset, path = MODELS["vp"], tmp_path / "checkpoint_5.pth"
    weights = weights_of(preset.options)
    torch.save({"model": dict(weights)}, path)
    write_fields(path, preset)
    found = find(path)
    assert "no moving averages" in found.spec.notes[1]
    np.testing.assert_array_equal(found.read()["Dense_0"]["bias"], weights["all_modules.0.bias"])


CHANGES = {
    "missing": lambda tensors, name: tensors.pop(name),
    "misshapen": lambda tensors, name: tensors.update({name: tensors[name][:1]}),
    "one more": lambda tensors, name: tensors.update({f"{name}er": np.zeros(3, np.float32)}),
    "not finite": lambda tensors, name: tensors.update({name: np.full_like(tensors[name], np.nan)}),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("kind", "name"),
    [("torch", "all_modules.3.Conv_0.weight"), ("flax", "ResnetBlockBigGANpp_0/Conv_0/kernel")],
    ids=["torch", "flax"],
)
def test_a_file_with_another_tensor_is_refused_by_the_tensors_name(change, kind, name, tmp_path, monkeypatch):
    preset, path = MODELS["vp"], tmp_path / "checkpoint_5"
    {"torch": write_torch, "flax": write_flax}[kind](path, preset, weights_of(preset.options))
    write_fields(path, preset)
    files = {"torch": TORCH, "flax": FLAX}[kind]
    tensors = dict(files.read(path).arrays)
    CHANGES[change](tensors, name)
    changed = files._replace(read=lambda path: Tensors(tensors))
    monkeypatch.setattr(score_sde, "format_of", lambda path: changed)
    with pytest.raises(BadInput, match=f"{path}: .*{name}"):
        find(path).read()


@pytest.mark.parametrize("change", ["one fewer", "misshapen", "unnamed"])
def test_averages_that_are_not_those_of_the_model_are_refused(change):
    model = {"model/module.all_modules.0.weight": np.ones((2, 3)), "model/module.all_modules.0.bias": np.ones(2)}
    averages = {"0": np.ones((2, 3)), "1": np.ones(2)}
    names = {
        "one fewer": "ema has 1 tensors for 2",
        "misshapen": "all_modules.0.bias has the shape",
        "unnamed": "shadow_params/x",
    }
    if change == "one fewer":
        del averages["1"]
    elif change == "misshapen":
        averages["1"] = np.ones(3)
    else:
        averages["x"] = averages.pop("1")
    with pytest.raises(BadInput, match=names[change]):
        from_torch(model | {f"ema/shadow_params/{place}": array for place, array in averages.items()}, "mine")


def test_the_averages_are_in_the_order_of_the_names_and_not_of_their_places_as_text():
    """10 comes after 9."""
    names = [f"all_modules.{i}.bias" for i in range(12)]
    model = {f"model/{name}": np.zeros(1) for name in names}
    averages = {f"ema/shadow_params/{i}": np.array([i]) for i in sorted(range(12), key=str)}
    found = from_torch(model | averages, "mine")
    assert found is not None
    assert {name: int(array[0]) for name, array in found.arrays.items()} == {name: i for i, name in enumerate(names)}


@pytest.mark.parametrize("kind", ["torch", "flax"])
def test_a_file_that_is_cut_short_is_refused(kind, tmp_path):
    preset, path = MODELS["ve"], tmp_path / "checkpoint_5"
    {"torch": write_torch, "flax": write_flax}[kind](path, preset, weights_of(preset.options))
    write_fields(path, preset)
    whole = path.read_bytes()
    for n in (64, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(BadInput, match="checkpoint_5"):
            find(path)


def test_noise_levels_of_another_config_are_refused(tmp_path):
    preset, path = MODELS["ve"], tmp_path / "checkpoint_5.pth"
    write_torch(path, preset, weights_of(preset.options))
    write_fields(path, preset._replace(sigma_max=50.0))
    with pytest.raises(
        BadInput, match=r"1000 noise levels from 90 down to 0.01, and should have 1000 from 50 down to 0.01"
    ):
        find(path)


def test_other_files_are_none_of_ours(tmp_path):
    assert find(tmp_path) is None
    assert find(tmp_path / "nowhere") is None
    for name, data in {"empty": b"", "text": b"hello", "tensors": b"\x08" + bytes(7) + b"{}      "}.items():
        (tmp_path / name).write_bytes(data)
        assert find(tmp_path / name) is None
    torch.save({"state_dict": {"conv.weight": torch.zeros(3)}}, tmp_path / "other.pth")
    assert find(tmp_path / "other.pth") is None
    (tmp_path / "other").write_bytes(b"\x81\xa6params\xc0")
    assert find(tmp_path / "other") is None


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "needs preset"),
        ({"preset": "ve/celebahq"}, "unknown name"),
        ({"preset": "cifar10_ncsnpp"}, "more than one config"),
        ({"preset": "ve/cifar10_ddpm", "nff": 3}, "did you mean 'nf'"),
        ({"preset": "ve/cifar10_ddpm", "nf": True}, "nf: got True, expected a whole number"),
        ({"preset": "ve/cifar10_ddpm", "nf": 1.5}, "nf: got 1.5"),
        ({"preset": "ve/cifar10_ddpm", "ch_mult": 3}, "ch_mult: got 3, expected a list"),
        ({"preset": "ve/cifar10_ddpm", "ch_mult": [1, "2"]}, "ch_mult: got '2'"),
        ({"preset": "ve/cifar10_ddpm", "sigma_max": float("nan")}, "sigma_max: got nan"),
        ({"preset": "ve/cifar10_ddpm", "sigma_max": 1e-3}, "sigma_max"),
        ({"preset": "ve/cifar10_ddpm", "num_scales": 10**6}, "num_scales"),
        ({"preset": "ve/cifar10_ddpm", "continuous": True}, "embedding_type"),
        ({"preset": "ve/cifar10_ddpm", "sde": "vpsde"}, "centered"),
        ({"preset": "vp/ddpm/cifar10", "sde": "subvpsde"}, "continuous"),
        ({"preset": "vp/ddpm/cifar10", "num_scales": 10}, "beta_max"),
        ({"preset": "vp/ddpm/cifar10", "sde": "vp"}, "sde"),
        ({"preset": "vp/ddpm/cifar10", "resamp_with_conv": False}, "resamp_with_conv: False is not known"),
        ({"preset": "vp/ddpm/cifar10", "fir": True}, "fir: a network by the name of ddpm has False"),
        ({"preset": ["vp"]}, "preset: got"),
    ],
    ids=str,
)
def test_a_wrong_field_beside_a_checkpoint_is_named(fields, named):
    with pytest.raises(BadInput, match=r"^(mine|preset)") as error:
        preset_of(fields, "mine")
    assert named in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_what_is_beside_a_checkpoint_is_json(text, tmp_path):
    preset, path = MODELS["vp"], tmp_path / "checkpoint_5"
    write_flax(path, preset, weights_of(preset.options))
    path.with_name("checkpoint_5.json").write_text(text)
    with pytest.raises(BadInput, match=r"checkpoint_5.json: (no JSON|holds a list)"):
        find(path)
