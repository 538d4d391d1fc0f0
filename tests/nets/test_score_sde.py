"""The networks of score_sde compute what the papers say: compared with a twin in PyTorch, whose tensors are converted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

torch = pytest.importorskip("torch")

from sde_vae.errors import BadInput
from sde_vae.nets.fir import double_fir, halve_fir
from sde_vae.nets.network import network
from sde_vae.nets.score_sde import ScoreSDE, parameters_of
from sde_vae.nets.score_sde_layers import initial
from sde_vae.nets.score_sde_options import ScoreSDEOptions, checked
from sde_vae.pretrained.score_sde_names import converted, torch_sources
from tests.helpers.score_sde_twin import Net, weights_of

SMALL = {"image_size": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (4,)}
DDPM = ScoreSDEOptions("ddpm", **SMALL, nf=32)
DDPMPP = ScoreSDEOptions("ncsnpp", **SMALL, nf=8, resblock_type="biggan", skip_rescale=True)
NCSNPP = DDPMPP._replace(fir=True, progressive_input="residual", embedding_type="fourier")
CASES = {
    "ddpm": DDPM._replace(ch_mult=(1, 2, 1), attn_resolutions=(8, 2)),
    "ddpm, blind": DDPM._replace(conditional=False, nonlinearity="elu"),
    "ddpm++": DDPMPP._replace(num_res_blocks=2),
    "ncsn++": NCSNPP._replace(dropout=0.5),
    "ncsn++, 256": NCSNPP._replace(progressive="output_skip", progressive_input="input_skip"),
    "further channels": NCSNPP._replace(
        fir=False,
        channels=1,
        skip_rescale=False,
        progressive="output_skip",
        progressive_input="input_skip",
        progressive_combine="cat",
    ),
    "blocks of ddpm": NCSNPP._replace(
        resblock_type="ddpm", progressive="residual", fir_kernel=(1.0, 2.0, 4.0, 0.5), nonlinearity="lrelu"
    ),
    "blocks of ddpm, no filter": DDPMPP._replace(
        resblock_type="ddpm", progressive="residual", progressive_input="residual", nonlinearity="relu"
    ),
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_the_output_is_the_twins(options):
    weights = weights_of(options)
    params = converted(torch_sources(options), {name: t.numpy() for name, t in weights.items()}, "the twin")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, options.image_size, options.image_size, options.channels)).astype(np.float32)
    time = np.array([0.02, 3.7, 700.0], np.float32)
    with torch.no_grad():
        expected = Net(weights, options)(torch.tensor(x.transpose(0, 3, 1, 2)), torch.tensor(time))
    expected = expected.numpy().transpose(0, 2, 3, 1)
    keys = None if options.dropout else jax.random.split(jax.random.key(0), 3)
    found = jax.jit(ScoreSDE(options).apply)({"params": params}, x, time, keys)
    assert 0.1 < np.std(expected) < 30
    # Angles of up to 2 pi 6 W: float32 rounds them by 1e-5.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.std(expected))


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_the_tensors_are_those_of_the_twin(options):
    """In number, order and shape: neither has one that the other does not know."""
    sources = torch_sources(options).values()
    assert {s.name: s.shape for s in sources} == {
        name: tuple(t.shape) for name, t in weights_of(options, "meta").items()
    }


def test_a_new_network_has_these_parameters_and_gives_finite_images():
    net = network(ScoreSDE(NCSNPP), (8, 8, 3))
    params = net.init(jax.random.key(0))
    shapes = {tuple(p.key for p in path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    assert shapes == parameters_of(NCSNPP).shapes
    assert jnp.all(jnp.isfinite(jax.jit(net.apply)(params, jnp.ones((3, 8, 8, 3)), jnp.ones(3))))


def test_the_initial_numbers_are_those_of_flax():
    """To the last bit, so that they do not depend on whether they are drawn in a traced program."""
    key, shape = jax.random.key(3), (3, 3, 5, 7)
    expected = nn.initializers.variance_scaling(0.1, "fan_avg", "uniform")(key, shape)
    np.testing.assert_array_equal(initial(0.1)(key, shape), expected)
    np.testing.assert_array_equal(jax.jit(initial(0.1), static_argnums=1)(key, shape), expected)


def test_dropout_differs_between_keys():
    """Without keys there is none: the twin of "ncsn++" has no dropout, and agrees."""
    options = NCSNPP._replace(dropout=0.5)
    weights = {name: t.numpy() for name, t in weights_of(options).items()}
    params = converted(torch_sources(options), weights, "the twin")
    keys = jax.random.split(jax.random.key(0), 2)
    first, second = jax.jit(ScoreSDE(options).apply)({"params": params}, jnp.ones((2, 8, 8, 3)), jnp.ones(2), keys)
    assert np.abs(first - second).max() > 0.1


def test_the_filter_keeps_constants_inside_and_its_two_directions_are_adjoint():
    """Doubling gathers with the taps that halving scatters, times 4: <halve x, y> = <x, double y> / 4 for a symmetric kernel."""
    kernel, rng = (1.0, 3.0, 3.0, 1.0), np.random.default_rng(0)
    x, y = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in ((1, 8, 6, 2), (1, 4, 3, 2)))
    np.testing.assert_allclose(jnp.vdot(halve_fir(x, kernel), y), jnp.vdot(x, double_fir(y, kernel)) / 4, rtol=1e-5)
    ones = jnp.ones((1, 8, 8, 1))
    np.testing.assert_allclose(halve_fir(ones, kernel)[:, 1:-1, 1:-1], 1.0, rtol=1e-6)
    np.testing.assert_allclose(double_fir(ones, kernel)[:, 1:-1, 1:-1], 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"name": "ncsnv2"}, "name"),
        ({"nonlinearity": "gelu"}, "nonlinearity"),
        ({"name": "ddpm"}, "skip_rescale"),
        ({"name": "ddpm", "skip_rescale": False, "resblock_type": "ddpm"}, "nf, ch_mult"),
        ({"nf": 6}, "nf, ch_mult"),
        ({"nf": 136}, "nf, ch_mult"),
        ({"image_size": 9}, "image_size"),
        ({"ch_mult": ()}, "image_size"),
        ({"num_res_blocks": 0}, "num_res_blocks"),
        ({"fir_kernel": (0.0, 0.0)}, "num_res_blocks, fir_kernel"),
    ],
    ids=str,
)
def test_an_impossible_option_is_named(changed, named):
    with pytest.raises(BadInput, match=f"^mine: {named}"):
        checked(DDPMPP._replace(**changed), "mine")
