"""Every config builds and traces; every wrong value is refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.build.config import EXAMPLES, load_config
from sde_vae.build.data import evaluated_split
from sde_vae.build.experiment import build
from sde_vae.build.metric_networks import build_metric_networks
from sde_vae.data.dataset import Dataset, Split
from sde_vae.errors import BadInput
from sde_vae.training.workdir import flatten
from tests.build.test_cmde_configs import OWN
from tests.helpers.traced import trace_steps

CONFIGS = sorted(p.stem for p in EXAMPLES.glob("[!_]*_*.py"))
# Deep networks take long to trace; avatars32 has as many levels as some of them.
LONG = ("celeba64", "cifar10", "avatars32", "avatars64", "fashion_mnist", "mnist5k", "latents")


def of_time(name):
    return pytest.param(name, marks=pytest.mark.slow if name.endswith(LONG) else ())


STAGES = {
    "scorevae": ["prior", "encoder"],
    "scorevae_lifted": ["prior", "encoder"],
    "scorevae_flow": ["prior", "encoder"],
    "diffusevae": ["prior", "encoder"],
    "pdae": ["prior", "encoder"],
    "scorevae_plus": ["prior", "encoder", "correction"],
    "prior": ["prior"],
    "labels": ["prior"],
    # The paper's.
    "scorevae_celeba64": ["prior", "encoder", "correction"],
    "scorevae_cifar10": ["prior", "encoder", "correction"],
}
# Every field that the contract promises, so that one override works on any config.
CONTRACT = [
    "seed",
    "parallel",
    "method",
    "data.name",
    "data.dir",
    "data.image_size",
    "data.channels",
    "data.crop",
    "model.latent_dim",
    "loss.beta",
    "sampling.solver",
    "sampling.steps",
    "sampling.guidance",
    "eval.n",
    "eval.evaluators",
    "prior.checkpoint",
] + [
    f"stages.{stage}.{field}"
    for stage in ("prior", "encoder", "correction", "latent")
    for field in ("steps", "batch_size", "learning_rate", "warmup", "weight", "times", "checkpoint_every", "log_every")
]


# The authors' settings have the networks of ours, and their steps take a quarter of a minute to trace: they are built and no more.
@pytest.mark.parametrize("name", [name for name in CONFIGS if name.endswith("_paper")])
def test_a_config_of_the_paper_builds(name):
    experiment = build(load_config(name))
    assert [stage.name for stage in experiment.stages] == ["prior", "encoder", "correction"]


# Of those of arXiv:2111.13606 test_cmde_configs.py traces the loss, for the same reason.
@pytest.mark.parametrize("name", [of_time(n) for n in CONFIGS if not n.endswith("_paper") and n not in OWN])
def test_config_builds_and_its_train_steps_trace(name):
    config = load_config(name)
    for field in CONTRACT:
        value = config
        for part in field.split("."):
            value = value[part]
    experiment = build(config)
    assert [stage.name for stage in experiment.stages] == STAGES.get(
        name.rpartition("_")[0].removesuffix("_fashion"), ["encoder"]
    )
    trace_steps(experiment)


@pytest.mark.parametrize(("name", "features", "latent"), [("celeba64", 384, 512), ("cifar10", 256, 384)])
def test_the_papers_configs_have_its_sizes(name, features, latent):
    """The widest level of CelebA is 3 x 128 channels at 4x4, and a flat map of it goes to 512 means and 512 log-variances."""
    experiment = build(load_config(f"scorevae_{name}_paper"))
    method, (*size, _) = experiment.stages[1].method, experiment.shape
    encoder = jax.eval_shape(method.init, jax.random.key(0))
    assert encoder["mean"]["kernel"].shape == encoder["log_var"]["kernel"].shape == (4 * 4 * features, latent)
    q = jax.eval_shape(method.encode, encoder, {}, jax.ShapeDtypeStruct((2, *size, 3), jnp.float32))
    assert q.mean.shape == (2, latent)


PAPER = {
    "seed": 42,
    "sde.name": "vp",
    "sde.t_min": 1e-3,
    "sde.beta_min": 0.1,
    "sde.beta_max": 20.0,
    "model.prediction": "noise",
    "model.encoder.input": "x_t",
    "model.encoder.num_statistics": 0,
    "model.correction.body": "unet",
    **{f"model.{net}.channels": 128 for net in ("prior", "encoder", "correction")},
    **{f"model.{net}.attention": (16,) for net in ("prior", "encoder", "correction")},
    "loss.beta": 0.01,
    "loss.log_density": "quadratic",
    "optim.ema_decay": 0.9999,
    "optim.clip": 1.0,
    "optim.decay": "constant",
    "stages.prior.weight": "simple",
    "stages.encoder.weight": "likelihood",
    "stages.correction.weight": "likelihood",
    **{f"stages.{stage}.times": "uniform_t" for stage in ("prior", "encoder", "correction")},
    "stages.prior.batch_size": 256,
    "stages.encoder.batch_size": 256,
    "stages.prior.warmup": 5000,
    "sampling.solver": "euler_maruyama",
    "sampling.grid": "uniform_t",
    "sampling.steps": 1000,
    "sampling.guidance": 1.0,
}
OF_CELEBA = {
    "data.image_size": 64,
    "model.latent_dim": 512,
    **{f"model.{net}.multipliers": (1, 1, 2, 2, 3) for net in ("prior", "encoder", "correction")},
    **{f"model.{net}.blocks": 2 for net in ("prior", "encoder", "correction")},
    **{f"model.{net}.dropout": 0.0 for net in ("prior", "encoder", "correction")},
    **{f"stages.{stage}.learning_rate": 1e-4 for stage in ("prior", "encoder", "correction")},
    **{f"stages.{stage}.warmup": 5000 for stage in ("encoder", "correction")},
    "stages.correction.batch_size": 256,
}
OF_CIFAR = {
    "data.image_size": 32,
    "model.latent_dim": 384,
    **{f"model.{net}.multipliers": (1, 2, 2, 2) for net in ("prior", "encoder", "correction")},
    **{f"model.{net}.blocks": 4 for net in ("prior", "encoder", "correction")},
    **{f"model.{net}.dropout": 0.1 for net in ("prior", "encoder", "correction")},
    **{f"stages.{stage}.learning_rate": 2e-4 for stage in ("prior", "encoder", "correction")},
    **{f"stages.{stage}.warmup": 2500 for stage in ("encoder", "correction")},
    "stages.correction.batch_size": 32,
}


@pytest.mark.parametrize(("name", "own"), [("celeba64", OF_CELEBA), ("cifar10", OF_CIFAR)])
def test_the_papers_configs_have_its_fields(name, own):
    config = flatten(load_config(f"scorevae_{name}_paper").to_dict())
    expected = PAPER | own
    assert {field: config[field] for field in expected} == expected


@pytest.mark.parametrize("name", ["celeba64", "cifar10"])
def test_our_own_configs_decode_in_fewer_evaluations(name):
    config = load_config(f"scorevae_{name}")
    assert 20 * (config.sampling.steps + 1) < load_config(f"scorevae_{name}_paper").sampling.steps + 100
    assert config.stages.correction.steps == 0
    assert config.model.encoder.num_statistics == config.model.latent_dim


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "method",
            "score_vea",
            "config.method: unknown name 'score_vea', did you mean 'score_vae'?; known: bayes, beta_vae, cde, cdiffe, cmde, diff_decoder",
        ),
        (
            "sde.name",
            "vpp",
            "config.sde.name: unknown name 'vpp', did you mean 'vp'?; known: cosine_vp, rectified_flow, sub_vp, ve, vp",
        ),
        (
            "sampling.solver",
            "euler",
            "config.sampling.solver: unknown name 'euler'; known: ancestral, ddim, dpm_solver_pp_2m, euler_maruyama",
        ),
        (
            "model.dtype",
            "float16",
            "config.model.dtype: unknown name 'float16', did you mean 'bfloat16'?; known: bfloat16, float32",
        ),
        ("eval.evaluators", ("fid",), "config.eval.evaluators: unknown name 'fid'; known: bits_per_dim"),
        ("stages.prior.steps", 0, "config.stages.prior.steps: got 0, expected a whole number, at least 1"),
        (
            "stages.encoder.learning_rate",
            -1.0,
            "config.stages.encoder.learning_rate: got -1.0, expected a number above 0 to 1",
        ),
        ("stages.correction.steps", -5, "config.stages.correction.steps: got -5, expected a whole number, at least 0"),
        (
            "model.encoder.num_statistics",
            -1,
            "config.model.encoder.num_statistics: got -1, expected a whole number from 0 to 65536",
        ),
        ("model.encoder.dropout", -0.1, "config.model.encoder.dropout: got -0.1, expected a number from 0 to below 1"),
        (
            "model.correction.dropout",
            1.0,
            "config.model.correction.dropout: got 1.0, expected a number from 0 to below 1",
        ),
        ("sampling.guidance", float("nan"), "config.sampling.guidance: got nan, expected a number from -1000 to 1000"),
        ("sampling.guidance", float("inf"), "config.sampling.guidance: got inf, expected a number from -1000 to 1000"),
        (
            "loss.kl_warmup",
            5_000_000,
            "config.loss.kl_warmup: got 5000000, expected at most config.stages.encoder.steps, ",
        ),
        ("synthetic.n", -1, "config.synthetic.n: got -1, expected a whole number from 0 to 10000000"),
        ("synthetic.share", 1.0, "config.synthetic.share: got 1.0, expected a number above 0 to below 1"),
        ("optim.decay", "linear", "config.optim.decay: unknown name 'linear'; known: constant, cosine"),
        ("data.image_size", 9, "config.data.image_size: got 9, which config.model.prior.multipliers halve 1 times"),
        ("data.crop", -1, "config.data.crop: got -1, expected a whole number from 0 to 65536"),
        (
            "data.filter",
            "cubic",
            "config.data.filter: unknown name 'cubic', did you mean 'bicubic'?; known: bicubic, bilinear, box",
        ),
        ("eval.n", 2, "config.eval.n: got 2, expected a whole number, at least 4"),
        ("eval.split", "all", "config.eval.split: unknown name 'all'; known: test, train, valid"),
        ("eval.lpips", ("squeeze",), "config.eval.lpips: unknown name 'squeeze'; known: alex, vgg"),
        (
            "eval.extractor",
            "inception",
            "config.eval.extractor: unknown name 'inception'; known: efflite0, fid, none, pixels",
        ),
        ("model.prior.channels", 3, "config.model.prior.channels: got 3, expected a whole number from 4 to 2048"),
    ],
)
def test_bad_values_are_refused(field, value, message):
    config = load_config("scorevae_digits")
    config.update_from_flattened_dict({field: value})
    with pytest.raises(BadInput) as error:
        build(config)
    assert message in str(error.value)


def test_the_prior_that_synthetic_images_are_sampled_from():
    """The method's own, another run's, or none."""
    for name in ("scorevae_digits", "diffusevae_digits", "pdae_digits"):
        config = load_config(name)
        assert [stage.synthetic for stage in build(config).stages] == [0, 0]
        config.synthetic.n = 10
        experiment = build(config)
        assert experiment.prior is experiment.stages[0].method
        assert [stage.synthetic for stage in experiment.stages] == [0, 10]
    for name in ("betavae_digits", "diffdecoder_digits"):
        config = load_config(name)
        assert build(config).prior is None
        config.synthetic.n = 10
        with pytest.raises(
            BadInput, match=r"config\.synthetic\.n: got 10, but .* has no prior to sample images from; name"
        ):
            build(config)
        config.prior.checkpoint = "runs/other"
        experiment = build(config)
        assert experiment.prior.unconditional
        assert experiment.final.method.unconditional is None
        assert [stage.synthetic for stage in experiment.stages] == [10]


def test_guidance_without_a_score_without_z_is_refused():
    config = load_config("diffdecoder_digits")
    config.sampling.guidance = 1.5
    with pytest.raises(BadInput, match=r"sampling.guidance: got 1.5, expected 1: .* config.loss.latent_dropout is 0"):
        build(config)
    config.loss.latent_dropout = 0.1
    build(config)


def test_a_warm_up_may_last_as_long_as_the_training():
    config = load_config("betavae_digits")
    config.loss.kl_warmup = config.stages.encoder.steps
    assert build(config).stages
    config.loss.kl_warmup += 1
    with pytest.raises(BadInput, match="beta would not reach its value"):
        build(config)


def test_a_correction_on_the_priors_features_is_a_small_one():
    config, sizes = load_config("scorevae_plus_digits"), {}
    for body in ("unet", "head"):
        config.model.correction.body = body
        correction = next(stage for stage in build(config).stages if stage.name == "correction")
        params = jax.eval_shape(correction.method.init, jax.random.key(0))
        sizes[body] = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert 0 < 5 * sizes["head"] < sizes["unet"]


def test_an_up_path_stands_on_the_u_net_of_this_project():
    config = load_config("pdae_digits")
    up_path = jax.eval_shape(build(config).final.method.init, jax.random.key(0))
    config.model.prior.body = "unet2d"
    with pytest.raises(BadInput, match=r"^config\.model\.shift\.body: got up_path, expected unet: "):
        build(config)
    config.model.shift.body = "unet"
    unet = jax.eval_shape(build(config).final.method.init, jax.random.key(0))
    assert "DownPath_0" in unet["shift"]
    assert "DownPath_0" not in up_path["shift"]


def test_the_level_at_which_a_prior_finishes_a_vae_is_the_configs(monkeypatch):
    config, seen = load_config("diffusevae_digits"), []
    config.sampling.prior_above = -3.0
    monkeypatch.setattr(
        "sde_vae.build.methods.diffuse_vae", lambda sde, vae, prior, log_snr: (seen.append(log_snr), vae)[1]
    )
    build(config)
    assert seen == [-3.0]
    config.sampling.prior_above = 30.0
    with pytest.raises(BadInput, match=r"prior_above: got 30.0, expected a logSNR between -10.0 and"):
        build(config)


def test_data_of_another_shape_or_name_is_refused():
    config = load_config("scorevae_digits")
    config.data.image_size = 16
    with pytest.raises(BadInput, match=r"got 16, 1, but the images of digits are 8x8x1"):
        build(config).load()
    config.data.name = "svhn"
    with pytest.raises(
        BadInput, match=r"config.data.name \(or tfds:NAME\): unknown name 'svhn'; known: arrays, avatars, celeba"
    ):
        build(config).load()
    with pytest.raises(BadInput, match=r"config.data.dir: not given; expected .*img_align_celeba"):
        build(load_config("scorevae_celeba64")).load()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eval.extractor": "fid"}, "config.eval.fid_weights: expected the file of the FID's Inception"),
        (
            {"eval.lpips": ("alex",), "eval.lpips_dir": "nowhere"},
            "config.eval.lpips_dir: expected alex.pth .* found neither",
        ),
        ({"eval.extractor": "fid", "eval.fid_weights": "nowhere.pth"}, "nowhere.pth: cannot be read"),
    ],
)
def test_weights_that_are_not_there_are_asked_for(changes, message):
    config = load_config("scorevae_digits")
    config.update_from_flattened_dict(changes)
    with pytest.raises(BadInput, match=message):
        build_metric_networks(config)


def test_data_without_the_split_to_evaluate_says_which_it_has():
    data = Dataset("mine", {"train": Split(np.zeros((3, 8, 8, 1), np.uint8))})
    with pytest.raises(BadInput, match=r"config.eval.split: got 'test', but mine has only train"):
        evaluated_split(load_config("scorevae_digits"), data)
    config = load_config("scorevae_digits")
    config.eval.split = "train"
    assert evaluated_split(config, data) is data.splits["train"].images
