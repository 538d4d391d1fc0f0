"""The loop moves, compiles and keeps nothing twice, in each mode, whether it begins or resumes."""

from functools import partial

import jax
import numpy as np
import pytest

from sde_vae.data.pipeline import Pipeline
from sde_vae.methods.method import abstract_params
from sde_vae.training import logs, loop, parallel
from sde_vae.training.checkpoints import load_ema
from sde_vae.training.loop import train_stage
from sde_vae.training.signals import StopRequest
from sde_vae.training.stage import Stage
from sde_vae.training.train_state import adam, cosine, init_state, make_parts
from tests.helpers.programs import compilations
from tests.helpers.small import SHAPE, awake, image_batch, image_methods

# "data" differs from "fsdp" in where the state lies, and has less to go wrong.
MODES = ("pmap", pytest.param("data", marks=pytest.mark.slow), "fsdp")


def images(n=40):
    return np.random.default_rng(0).integers(0, 256, (n, *SHAPE), np.uint8)


def stage(mode, steps=6, **more):
    """ScoreVAE on 16 images a step, and its frozen parameters on the host, as they are loaded."""
    prior, method = image_methods()
    settings = {"preview_every": 0, "preview": None, "checkpoint_every": 2} | more
    of_stage = Stage(
        name="encoder",
        method=method,
        depends_on=("prior",),
        optimiser=adam(1e-3, 6, 2, 1.0, cosine),
        ema_decay=0.99,
        open_data=lambda synthetic: Pipeline(images(), 256, 16, seed=0),
        batch_size=16,
        steps=steps,
        log_every=1,
        keep=3,
        parallel=mode,
        seed=0,
        **settings,
    )
    return of_stage, {"prior": jax.device_get(awake(prior.init(jax.random.key(0))))}


def train(of_stage, frozen, folder):
    with StopRequest() as stop:
        return train_stage(of_stage, frozen, folder, stop)


@pytest.fixture
def guarded(monkeypatch):
    """From the first update on nothing may be moved but by device_put, and within an update not even so.

    The list of (programs compiled in it, given state) of each update grows.
    """
    updates = []

    def parallelise(*arguments):
        made = parallel.parallelise(*arguments)
        # A compiled function: nothing is done to the arrays before it is called.
        assert hasattr(made.update, "lower")

        def update(state, *rest):
            jax.config.update("jax_transfer_guard", "disallow")
            with compilations() as names, jax.transfer_guard("disallow_explicit"):
                result = made.update(state, *rest)
            updates.append((names, state))
            return result

        return made._replace(update=update)

    monkeypatch.setattr(loop, "parallelise", parallelise)
    yield updates
    jax.config.update("jax_transfer_guard", "allow")


@pytest.mark.parametrize("mode", MODES)
def test_a_step_moves_nothing_and_is_compiled_once(mode, guarded, tmp_path):
    assert len(jax.devices()) == 8
    for steps in (3, 6):  # begun, and resumed
        guarded.clear()
        jax.config.update("jax_transfer_guard", "allow")
        of_stage, frozen = stage(mode, steps)
        assert train(of_stage, frozen, tmp_path)
        assert len(guarded) == 3
        assert [len(names) for names, _ in guarded] == [1, 0, 0], guarded[0][0]
        # Donated: of parameters, EMA and optimiser there is one copy.
        assert all(leaf.is_deleted() for _, state in guarded for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize("mode", MODES)
def test_a_checkpoint_holds_what_was_saved_though_training_went_on(mode, tmp_path):
    for name, steps in (("whole", 6), ("short", 4)):
        of_stage, frozen = stage(mode, steps)
        train(of_stage, frozen, tmp_path / name)
    # Of the whole run, the checkpoint of step 4 is then the newest.
    (tmp_path / "whole" / "checkpoints" / "6").rename(tmp_path / "away")
    abstract = abstract_params(of_stage.method)
    kept, same = (load_ema(tmp_path / name / "checkpoints", "encoder", abstract, "x") for name in ("whole", "short"))
    assert kept.step == same.step == 4
    jax.tree.map(np.testing.assert_array_equal, kept.params, same.params)


class StopAfter(StopRequest):
    """A request that comes after so many steps, instead of a signal."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def __getattribute__(self, name):
        if name == "requested":
            self.left -= 1
            return self.left < 0
        return super().__getattribute__(name)


def test_stopped_between_checkpoints_and_begun_again_it_ends_the_same(tmp_path):
    """The state is saved at the step of the request, which no checkpoint was due at; accumulation may change on the way, and moves nothing.

    Each step is logged once.
    """
    ends = {}
    for name, parts in (("whole", 1), ("stopped", 2)):
        of_stage, frozen = stage("pmap", checkpoint_every=1000)
        if parts > 1:
            assert not train_stage(of_stage, frozen, tmp_path / name, StopAfter(3))
            assert [path.name for path in (tmp_path / name / "checkpoints").iterdir()] == ["4"]
        assert train(of_stage._replace(accumulation=parts), frozen, tmp_path / name)
        assert [row["step"] for row in logs.read(tmp_path / name / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
        ends[name] = load_ema(tmp_path / name / "checkpoints", "encoder", abstract_params(of_stage.method), "x").params
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=2e-5), *ends.values())


def test_a_preview_sees_the_parameters_of_its_step(tmp_path):
    seen = []
    of_stage, frozen = stage(
        "fsdp", preview_every=2, preview=lambda ema, frozen: seen.append(jax.device_get(ema)) or {}
    )
    train(of_stage, frozen, tmp_path)
    last = load_ema(tmp_path / "checkpoints", "encoder", abstract_params(of_stage.method), "x").params
    assert len(seen) == 3
    jax.tree.map(np.testing.assert_array_equal, seen[-1], last)


def test_donation_leaves_one_copy_of_the_state():
    """The compiled program writes the new state where the given one was."""
    prior, method = image_methods()
    optimiser, key = adam(1e-3, 6, 2, 1.0, cosine), jax.random.key(0)
    made = parallel.parallelise(lambda axis: make_parts(method, optimiser, 0.99, axis), "data", 16, jax.devices()[:1])
    state, frozen, key = made.place((init_state(method, optimiser, key), {"prior": prior.init(key)}, key))
    of = made.update.lower(state, frozen, key, made.place_batch(image_batch(16))).compile().memory_analysis()
    assert of.alias_size_in_bytes == sum(leaf.nbytes for leaf in jax.tree.leaves(state))
