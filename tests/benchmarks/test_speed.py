"""Factors of fewer bits are rounded everywhere and nothing else is; what has changed since a commit; plans, growth and memory as they should be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.speed import plan, running, sharding, summary
from benchmarks.speed.changed import changes, committed
from benchmarks.speed.precision import FORMATS, with_factors
from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.errors import BadInput
from sde_vae.methods.method import abstract_params
from sde_vae.nets.conv import conv

A, B = (np.random.default_rng(i).normal(size=(5, 5)).astype(np.float32) for i in range(2))


def nested(a, b):
    """Products in a program within a program, in a gradient of a custom one, and beside them what is no product."""
    square = jax.jit(lambda a: jnp.sum(jnp.tanh(a @ b) ** 2))
    image, kernel = a.reshape(1, 5, 5, 1), b[:3, :3].reshape(3, 3, 1, 1)
    return jax.grad(square)(a), jax.grad(lambda w: jnp.sum(conv(image, w) ** 2))(kernel)


def test_with_all_bits_nothing_changes():
    for found, expected in zip(jax.jit(with_factors(nested, (8, 23)))(A, B), jax.jit(nested)(A, B), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(("name", "unit"), [("TF32", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_the_factors_of_a_product_are_rounded(name, unit):
    """Of one product, to the last bit; of nested ones the error is of the size of the rounding unit."""
    short = lambda a: np.asarray(jax.lax.reduce_precision(a, *FORMATS[name]))
    np.testing.assert_array_equal(with_factors(jnp.matmul, FORMATS[name])(A, B), jnp.matmul(short(A), short(B)))
    assert np.max(np.abs(short(A) / A - 1)) <= unit
    for found, expected in zip(jax.jit(with_factors(nested, FORMATS[name]))(A, B), jax.jit(nested)(A, B), strict=True):
        error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
        assert 0.05 * unit < error < 20 * unit


def row(ratio, low, high, **more):
    return {
        "kind": "prior",
        "size": "8x8",
        "threads": 2,
        "ratio_to_torch": ratio,
        "ratio_to_torch_range": [low, high],
    } | more


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (row(0.8, 0.78, 0.82), "slower"),
        (row(1.2, 1.15, 1.25), "faster"),
        # The ranges meet, or the medians are near.
        (row(0.8, 0.75, 0.99), ""),
        (row(0.96, 0.95, 0.97), ""),
    ],
)
def test_a_ratio_has_changed_where_the_ranges_do_not_meet(now, verdict):
    before = [row(1.0, 0.98, 1.02), row(1.0, 0.98, 1.02, size="28x28")]
    assert changes(before, [now, row(2.0, 2.0, 2.0, kind="new")]) == [
        ("prior, 8x8, 2 threads", "torch", "1.00", f"{now['ratio_to_torch']:.2f}", verdict)
    ]


def test_a_commit_without_results_is_named():
    with pytest.raises(BadInput, match=r"--since: .*no-such-commit"):
        committed("no-such-commit")


def test_a_plan_counts_the_operations_of_a_convolution():
    """Of the prior's 3x3 convolutions at full size: twice the products, 9 in out H W; the gradient of a step takes three times a forward pass."""
    small = {"model.prior.channels": 16, "model.prior.multipliers": (1,), "model.prior.blocks": 1}
    experiment = build(set_fields(load_config("prior_digits"), small))
    params = abstract_params(experiment.prior)
    kernels = [a.shape for a in jax.tree.leaves(params) if len(a.shape) == 4]
    products = sum(2 * np.prod(shape) * 64 for shape in kernels)
    forward = plan.of_score(experiment.prior, params, experiment.shape)
    assert 0.9 * products < forward < 1.4 * products
    step = plan.counted(experiment.stages[0], experiment.prior, {}, experiment.shape)
    assert 2.5 * forward < step.operations < 3.5 * forward
    assert step.state == 20 * sum(a.size for a in jax.tree.leaves(params))
    assert step.activations > 0


def test_the_power_of_growth_is_that_of_a_power():
    rows = [{"sweep": "batch", "line": "prior", "at": n, "ms": 3 * n**1.5} for n in (8, 16, 64)]
    assert summary.exponent(summary.lines_of(rows)["batch", "prior"]) == pytest.approx(1.5)
    head, line = summary.growth(rows)[0]
    assert dict(zip(head[:3], line[:3], strict=True)) == {"grows with": "batch", "of": "prior", "from": "8"}
    assert line[-1] == "1.50"


def test_steps_are_timed_in_turn():
    """Each step twice, to compile; then in every round three times in a row, one step after the other."""
    order: list[str] = []
    seconds = running.in_turn([lambda: order.append("a"), lambda: order.append("b")], 2)
    assert "".join(order) == "aabb" + 2 * "aaabbb"
    assert np.shape(seconds) == (2, 2)


def test_sharded_over_8_devices_a_state_has_an_eighth_on_each_and_a_step_gathers_the_parameters_alone():
    """But for arrays that 8 does not divide, which are whole everywhere. Replicated, each device has all of it.

    Of four copies of the parameters in the state a step needs one whole: EMA and Adam's moments stay split.
    """
    small = {"model.prior.channels": 16, "model.prior.multipliers": (1,), "model.prior.blocks": 1}
    experiment = build(set_fields(load_config("prior_digits"), small))
    of = lambda mode: sharding.of_mode(experiment.stages[0], experiment.shape, mode, 8, jax.devices())
    sizes = [(a.size, a.shape) for a in jax.tree.leaves(abstract_params(experiment.prior))]
    whole = sum(n for n, _ in sizes)
    split = sum(n // 8 if any(d % 8 == 0 for d in shape) else n for n, shape in sizes)
    # Four copies, in float32, and two counts of steps: the state's own, and the schedule's.
    data, fsdp = map(of, ("data", "fsdp"))
    assert data.state == 16 * whole + 3 * 4
    assert fsdp.state == 16 * split + 3 * 4
    assert 0 < data.beside < fsdp.beside < data.beside + 4 * whole
