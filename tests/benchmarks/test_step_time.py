"""The steps in PyTorch are ours: the same loss and gradients on the same parameters and draws, the gradient of a gradient included."""

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.speed import step_worker, summary, torch_steps
from benchmarks.speed.operations import kind_of, profile_jax, profile_torch
from benchmarks.speed.step_cases import case, draws, in_torch, nets
from benchmarks.speed.step_time import measure, table_of
from benchmarks.speed.torch_twin import tensors

SMALL = {f"model.{net}.channels": 8 for net in ("prior", "encoder", "decoder", "correction")} | {
    f"stages.{stage}.batch_size": 4 for stage in ("prior", "encoder", "correction")
}


# The encoder's has the prior in it, and is the only gradient of a gradient.
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow if kind != "encoder" else ()) for kind in torch_steps.LOSSES],
)
def test_loss_and_gradients_are_the_same(kind):
    of = case(kind, "8x8", SMALL)
    key, params = jax.random.key(3), of.params[of.stage.name]
    loss = lambda params: of.stage.method.loss(params, of.frozen, key, of.batch)[0]
    expected, gradients = jax.jit(jax.value_and_grad(loss))(params)

    trees = {name: tensors(tree, torch.float32) for name, tree in of.params.items()}
    trained = trees[of.stage.name]
    for leaf in torch_steps.leaves(trained):
        leaf.requires_grad_()
    frozen = {name: trees[name] for name in of.stage.depends_on}
    found = torch_steps.LOSSES[kind](nets(of))(trained, frozen, *in_torch(*draws(of, key)))
    np.testing.assert_allclose(found.item(), expected, rtol=1e-4)
    found.backward()
    # In the layout of torch, leaf by leaf.
    wanted = torch_steps.leaves(tensors(jax.tree.map(np.asarray, gradients), torch.float32))
    scale = max(float(g.norm()) for g in wanted)
    for leaf, gradient in zip(torch_steps.leaves(trained), wanted, strict=True):
        assert float((leaf.grad - gradient).norm()) < 1e-4 * scale


def test_a_row_says_what_has_no_figure():
    row = {"kind": "encoder", "size": "8x8", "batch": 4, "threads": 1, "rounds": 3, "jax_ms": 2.0, "torch_ms": 3.0}
    row |= {"ratio_to_torch": 1.5, "ratio_to_torch_range": [1.4, 1.6], "losses_differ_by": 2e-6}
    (head, line), notes = table_of([row | {"errors": {"torch.compile": "RuntimeError: no double backward"}}])
    assert len(head) == len(line)
    assert "1.50 [1.40, 1.60]" in line
    assert "differ by at most 2e-06" in notes
    assert "Without a figure: encoder: RuntimeError: no double backward." in notes


@pytest.mark.slow
def test_both_are_timed_in_turn():
    row = measure("prior", "8x8", 1, 2, ["jax", "torch"])
    assert row["losses_differ_by"] < 1e-4
    assert row["ratio_to_torch"] > 0


def test_a_worker_leaves_it_to_openmp_how_its_threads_wait(monkeypatch):
    """Threads that sleep between operations make PyTorch 1.6 times as slow on two of them, and its ratio to ours as much too high."""
    environment: dict[str, str] = {}
    monkeypatch.setattr(step_worker.os, "sched_setaffinity", lambda *of: None)
    monkeypatch.setattr(step_worker.os, "environ", environment)
    step_worker.restrict(2)
    assert environment == {"OMP_NUM_THREADS": "2", "JAX_PLATFORMS": "cpu"}


def test_a_profile_has_the_operations_of_a_step_by_kind():
    ours, theirs = jax.numpy.ones((64, 64)), torch.ones(64, 64)
    product = jax.jit(lambda a: a @ a)
    for found in (profile_jax(lambda: product(ours).block_until_ready()), profile_torch(lambda: theirs @ theirs)):
        (longest, seconds), *_ = sorted(found.items(), key=lambda item: -item[1])
        assert kind_of(longest) == "products"
        assert 0 < seconds < 1


def test_the_table_of_operations_has_a_column_a_kind():
    row = {
        "step": "prior",
        "library": "jax",
        "ms": 10.0,
        "share_of_peak": 0.25,
        "kinds": {"products": 4.4, "copies": 5.6},
    }
    (head, line), _ = summary.operations([row])
    assert head == ["step", "ms", "products", "copies", "of the peak"]
    assert line == ["prior, ours", "10", "4", "6", "25 %"]
