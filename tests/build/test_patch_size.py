"""config.model.NET.patch_size: which network sees patches, and what is refused."""

import jax
import jax.numpy as jnp
import pytest

from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.build.unread import absent_attention, unread
from sde_vae.errors import BadInput
from sde_vae.methods.method import abstract_params
from sde_vae.training.workdir import check_alike
from sde_vae.types import Batch
from tests.helpers.rarely import rarely

NETS = ("prior", "encoder", "decoder", "correction", "shift")
TINY = {f"model.{net}.{field}": value for net in NETS for field, value in {"channels": 8, "attention": (2,)}.items()}
PATCHES = {f"model.{net}.patch_size": 2 for net in NETS}
# An image, and the image of its patches, whose mask would be another: an observation without one.
IMAGE = {"data.image_size": (8, 12), "data.channels": 1}
OF_PATCHES = {"data.image_size": (4, 6), "data.channels": 4}
SMALL_Y = {"task.name": "super_resolution", "task.factor": 2}
METHODS = {
    # Of x_t itself: its linear estimate has a channel of ones beside it, which patches make four.
    "scorevae_lifted_digits": {"model.encoder.input": "x_t"},
    "scorevae_digits with E[x_0 | x_t]": {"model.encoder.input": "denoised"},
    "scorevae_plus_digits": {},
    "scorevae_plus_digits with a head": {"model.correction.body": "head"},
    "betavae_digits": {},
    "diffusevae_digits": {},
    "diffdecoder_digits": {},
    "pdae_digits": {},
    "pdae_digits with a U-Net": {"model.shift.body": "unet"},
    "cmde_digits": SMALL_Y,
    "cmde_digits with y clean": SMALL_Y | {"method": "cde"},
    "cmde_digits by Bayes' rule": SMALL_Y | {"method": "bayes"},
}


def stages_of(config):
    """Each stage but that of latent codes, with the parameters of all, and those of a prior that another run has trained."""
    experiment = build(config)
    params = {stage.name: abstract_params(stage.method) for stage in experiment.stages}
    if experiment.prior is not None:
        params.setdefault("prior", abstract_params(experiment.prior))
    return [stage for stage in experiment.stages if stage.name != "latent"], params


@pytest.mark.parametrize("case", [case if " " in case else rarely(case)[0] for case in METHODS])
def test_a_model_on_patches_is_that_of_the_image_of_patches(case):
    """It has the parameters of a model of images with as many channels as a patch has numbers, and takes and gives images."""
    config = set_fields(load_config(case.partition(" ")[0]), TINY | METHODS[case])
    stages, params = stages_of(set_fields(config, IMAGE | PATCHES))
    _, expected = stages_of(set_fields(config, OF_PATCHES))
    _, of_pixels = stages_of(set_fields(config, IMAGE))
    shapes = lambda tree: jax.tree.map(lambda a: a.shape, tree)
    assert shapes(params) == shapes(expected)
    # But the network of latent codes, which sees no image.
    for name in params.keys() - {"latent"}:
        assert shapes(params[name]) != shapes(of_pixels[name])
    batch = Batch(jax.ShapeDtypeStruct((8, 8, 12, 1), jnp.float32), jax.ShapeDtypeStruct((8,), jnp.int32), jnp.int32(0))
    for stage in stages:
        frozen = {needed: params[needed] for needed in stage.depends_on}
        loss, _ = jax.eval_shape(stage.method.loss, params[stage.name], frozen, jax.random.key(0), batch)
        assert loss.shape == ()


@pytest.mark.parametrize("net", ["prior", "encoder"])
def test_a_side_that_has_no_whole_patches_is_named(net):
    """Both networks have the multipliers (1, 2): they halve once what patches of 4 leave."""
    config = lambda size: set_fields(load_config("default"), {"data.image_size": size, f"model.{net}.patch_size": 4})
    build(config(16))
    message = (
        rf"image_size: got 20, which config\.model\.{net}\.multipliers halve 1 times after patches of "
        rf"config\.model\.{net}\.patch_size=4; it must be a multiple of 8"
    )
    with pytest.raises(BadInput, match=message):
        build(config(20))


def test_the_network_of_diffusers_has_no_patches():
    changes = {"model.prior.patch_size": 2, "model.prior.body": "unet2d"}
    with pytest.raises(BadInput, match=r"config\.model\.prior\.patch_size: got 2, but .*body=unet2d .*take unet"):
        build(set_fields(load_config("default"), changes))


def test_attention_is_at_sizes_of_the_maps():
    config = set_fields(load_config("scorevae_digits"), {"model.encoder.attention": (), "model.prior.patch_size": 2})
    assert absent_attention(set_fields(config, {"model.prior.attention": (4, 2)})) == []
    (note,) = absent_attention(set_fields(config, {"model.prior.attention": 8}))
    assert note.endswith("no attention at 8: the images of this network have the sizes 4, 2")


@pytest.mark.parametrize(
    ("changes", "net"),
    [
        ({"method": "beta_vae"}, "prior"),
        ({}, "decoder"),
        ({"stages.correction.steps": 1, "model.correction.body": "head"}, "correction"),
        ({"method": "pdae"}, "shift"),
    ],
)
def test_a_network_that_stands_on_anothers_maps_has_no_patches_of_its_own(changes, net):
    (note,) = unread(set_fields(load_config("default"), changes), [f"model.{net}.patch_size"])
    assert "has no effect here" in note


def test_a_prior_of_pixels_is_not_one_of_patches(tmp_path):
    """A grey patch of 2x2 has the four numbers of a pixel with alpha. One of before patches saw pixels."""
    field = "model.prior.patch_size"
    check_alike({}, {field: 1}, tmp_path, "config.prior.checkpoint")
    for theirs, ours in (({}, 2), ({field: 2}, 1)):
        with pytest.raises(
            BadInput, match=rf"was trained with config\.{field} {theirs.get(field, 1)}, expected {ours}"
        ):
            check_alike(theirs, {field: ours}, tmp_path, "config.prior.checkpoint")
