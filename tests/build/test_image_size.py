"""config.data.image_size as one number or (height, width): read, checked, kept, and halved by the networks."""

import json

import jax
import jax.numpy as jnp
import pytest

from sde_vae.build.config import checked, fields, load_config, set_fields
from sde_vae.build.data import data_options, data_shape
from sde_vae.build.experiment import build
from sde_vae.build.workdirs import check_same_model, trained_config
from sde_vae.data.datasets.load import DATASETS, load
from sde_vae.errors import BadInput
from sde_vae.methods.method import abstract_params
from sde_vae.nets.decoder import Decoder
from sde_vae.nets.encoder import HalfUNet
from sde_vae.nets.unet import UNet
from sde_vae.training import workdir as workdirs
from sde_vae.types import Batch
from tests.helpers.rarely import rarely

FORMS = {
    "16": 16,
    " 16 ": 16,
    "16,24": (16, 24),
    "(16, 24)": (16, 24),
    "(16,24,)": (16, 24),
    "[16, 24]": (16, 24),
    16: 16,
    (16, 24): (16, 24),
}
BAD = [
    "",
    "x",
    "16x24",
    "16,",
    "16,24,3",
    "(16, 2.5)",
    "True",
    "None",
    "()",
    "nan",
    "1" * 9999,
    1.5,
    True,
    None,
]
OUT_OF_RANGE = [0, -8, (0, 8), (8, 0), (8, -8)]
TINY = {f"model.{net}.channels": 8 for net in ("prior", "encoder", "decoder", "correction", "shift")}


def configured(*sizes, name="default", **changes):
    config = load_config(name)
    for size in sizes:
        config = set_fields(config, {"data.image_size": size, **changes})
    return config


@pytest.mark.parametrize("given", FORMS, ids=repr)
def test_every_form_is_read(given):
    config = configured(given)
    assert checked(config) == config
    assert config.data.image_size == FORMS[given]
    assert data_shape(config) == (16, 24 if "24" in str(given) else 16, 1)
    # Once set it may be set again, to either type, from Python too.
    again = configured(given, 8, (8, 12), 4)
    assert again.data.image_size == 4
    direct = load_config("default")
    direct.data.image_size = FORMS[given]
    direct = checked(direct)
    assert data_shape(direct) == data_shape(config)


@pytest.mark.parametrize("given", BAD, ids=lambda given: repr(given)[:20])
def test_anything_else_is_refused_in_a_line(given):
    with pytest.raises(
        BadInput, match=r"^config\.data\.image_size: got .*, expected a whole number from 1 to 4096, or two"
    ):
        configured(given)
    config = load_config("default")
    config.data.image_size = given
    with pytest.raises(BadInput, match=r"^config\.data\.image_size: got "):
        checked(config)


@pytest.mark.parametrize("given", OUT_OF_RANGE, ids=repr)
def test_sides_below_1_are_refused(given):
    with pytest.raises(BadInput, match=r"^config\.data\.image_size: got .*, expected a whole number from 1"):
        checked(configured(given))


@pytest.mark.parametrize(
    ("size", "multipliers", "message"),
    [
        ((8, 12), "(1, 2, 2, 2)", r"got \(8, 12\), whose width 12 config.model.prior.multipliers halve 3 times; .* 8$"),
        ((12, 8), "(1, 2, 2, 2)", r"got \(12, 8\), whose height 12 config.model.prior.multipliers halve 3 times"),
        ((9, 8), "(1, 2)", r"got \(9, 8\), whose height 9 "),
        (12, "(1, 2, 2, 2)", r"got 12, which config.model.prior.multipliers halve 3 times; it must be a multiple of 8"),
    ],
)
def test_a_side_that_does_not_halve_is_named(size, multipliers, message):
    with pytest.raises(BadInput, match=message):
        build(configured(size, **{"model.prior.multipliers": multipliers}))


def test_a_config_on_disk_gives_the_same_config(tmp_path):
    """JSON has lists for tuples; a config.json of one number is as before."""
    for size in ((8, 12), 8):
        config = configured(size)
        defaults = workdirs.flatten(load_config("default").to_dict())
        (tmp_path / "prior" / "checkpoints" / "1").mkdir(parents=True, exist_ok=True)
        (tmp_path / "config.json").write_text(json.dumps({"config": config.to_dict()}))
        found = trained_config(tmp_path)
        assert found.data.image_size == size
        assert found.to_dict() == config.to_dict()
        check_same_model(found, tmp_path)
        workdirs.check(tmp_path, workdirs.flatten(config.to_dict()), defaults)
        with pytest.raises(BadInput, match=r"config\.data\.image_size: got 16, but .* was trained with "):
            check_same_model(configured(16), tmp_path)


def test_a_square_keeps_its_cache():
    """The key of a cache of decoded images has one number for squares, however they are given."""
    assert data_options(configured(8)).image_size == data_options(configured((8, 8))).image_size == 8
    assert data_options(configured((8, 12))).size == (8, 12)


def test_the_default_is_one_number():
    assert fields()["data.image_size"].default == load_config("default").data.image_size == 8


@pytest.mark.parametrize(
    "name", sorted(set(DATASETS) - {"arrays", "celeba", "cifar10", "folder", "fashion_mnist", "pairs"})
)
def test_square_data_sets_refuse_a_rectangle_in_a_line(name):
    channels = 3 if name == "avatars" else 1
    with pytest.raises(BadInput, match=r"^config\.data\.image_size.*: got \(16, 24\)") as error:
        load(name, data_options(configured((16, 24), **{"data.channels": channels})))
    assert "\n" not in str(error.value)


# ScoreVAE itself trains on rectangles in tests/test_rectangles.py.
METHODS = {
    "scorevae_lifted_digits": {},
    "scorevae_plus_digits": {},
    "scorevae_plus_digits with a head": {"model.correction.body": "head"},
    "betavae_digits": {},
    "diffusevae_digits": {},
    "diffdecoder_digits": {},
    "pdae_digits": {},
    "pdae_digits with a U-Net": {"model.shift.body": "unet"},
}


@pytest.mark.parametrize("case", [case if " " in case else rarely(case)[0] for case in METHODS])
def test_every_method_takes_rectangles(case):
    """The shapes of each stage's parameters, loss and gradient, without computing them."""
    attention = {f"model.{net}.attention": (4,) for net in ("prior", "encoder", "decoder")}
    name = case.partition(" ")[0]
    experiment = build(configured((8, 12), name=name, **TINY, **attention, **METHODS[case]))
    assert experiment.shape == (8, 12, 1)
    params = {stage.name: abstract_params(stage.method) for stage in experiment.stages}
    if experiment.prior is not None:
        params.setdefault("prior", abstract_params(experiment.prior))
    batch = Batch(jax.ShapeDtypeStruct((8, 8, 12, 1), jnp.float32), jax.ShapeDtypeStruct((8,), jnp.int32), jnp.int32(0))
    for stage in experiment.stages:
        if stage.name == "latent":
            continue
        frozen = {needed: params[needed] for needed in stage.depends_on}
        loss, _ = jax.eval_shape(stage.method.loss, params[stage.name], frozen, jax.random.key(0), batch)
        assert loss.shape == ()


def shapes(tree):
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


@pytest.mark.parametrize("net", [UNet, HalfUNet], ids=lambda net: net.__name__)
def test_attention_is_where_the_shorter_side_has_its_size(net):
    """On 8x16 images a size of 4 means the maps of 4x8, whichever side is the shorter, as on 8x8 the maps of 4x4."""
    level = jnp.zeros(1)

    def found(height, width, attention):
        made = net(8, (1, 2), 1, attention=attention)
        return shapes(jax.eval_shape(made.init, jax.random.key(0), jnp.zeros((1, height, width, 1)), level))

    # The last two levels tell a size of 4 from one of 8, by the channels of the attention's parameters.
    squares = {attention: found(8, 8, attention) for attention in ((4,), (8,), (16,))}
    assert len({str(found) for found in squares.values()}) == 3
    for attention, expected in squares.items():
        assert found(8, 16, attention) == found(16, 8, attention)
        # The sizes of the encoder's linear layers and the U-Net's parameters depend on no side.
        assert found(8, 16, attention) == expected


def test_the_decoder_makes_rectangles():
    decoder = Decoder(8, (1, 2, 2), 1, (4,), (8, 12, 3), 0.0, False)
    z = jnp.zeros((2, 5))
    made = jax.eval_shape(lambda key: decoder.init_with_output(key, z)[0], jax.random.key(0))
    assert made.mean.shape == (2, 8, 12, 3)
