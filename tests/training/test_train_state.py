"""An update: the average of the parameters, the clipped gradient and the learning rate are their formulas."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.methods.method import Method
from sde_vae.training.train_state import adam, constant, cosine, init_state, make_update
from sde_vae.types import Batch

START = np.array([3.0, -2.0], np.float32)


def pulled(force):
    """A method whose gradient at step n is force(n)."""

    def loss(params, frozen, key, batch):
        total = jnp.sum(params * force(batch.step))
        return total, {"loss": total}

    return Method(lambda key: jnp.asarray(START), loss)


def run(method, optimiser, ema_decay, steps):
    """The states after 0, 1, ..., `steps` updates, and the metrics."""
    states, metrics = [init_state(method, optimiser, jax.random.key(0))], []
    update = jax.jit(make_update(method, optimiser, ema_decay))
    for _ in range(steps):
        state, found = update(states[-1], {}, jax.random.key(1), Batch(jnp.zeros((2, 1)), jnp.arange(2)))
        states.append(state)
        metrics.append(found)
    return states, metrics


@pytest.mark.parametrize("decay", [0.9, 0.3])
def test_the_ema_is_its_formula(decay):
    """e_0 = p_0 and e_{n+1} = d e_n + (1 - d) p_{n+1} with d = min(decay, (1 + n) / (10 + n)): at 0.3 the decay is the smaller from n = 3 on."""
    states, _ = run(
        pulled(lambda step: jnp.array([1.0, -1.0]) * (1 + step % 3)), adam(0.5, 30, 0, 1e9, constant), decay, 30
    )
    expected = np.asarray(states[0].params, np.float64)
    np.testing.assert_array_equal(states[0].ema_params, START)
    for n, state in enumerate(states[1:]):
        d = min(decay, (1 + n) / (10 + n))
        expected = d * expected + (1 - d) * np.asarray(state.params, np.float64)
        np.testing.assert_allclose(state.ema_params, expected, rtol=1e-5)
        assert state.step == n + 1


def test_adam_is_its_formula_on_a_clipped_gradient_at_the_schedules_rate():
    """Kingma & Ba, algorithm 1, after clipping by the global norm; a linear warm-up from 0, then half a cosine to 0."""
    rate, steps, warmup, clip = 0.1, 12, 4, 2.0
    force = lambda step: jnp.array([1.0, 3.0]) * jnp.where(step % 2 == 0, 1.0, -0.2)
    states, metrics = run(pulled(force), adam(rate, steps, warmup, clip, cosine), 0.9, steps)
    p, m, v = START.astype(np.float64), np.zeros(2), np.zeros(2)
    for n in range(steps):
        g = np.asarray(force(n), np.float64)
        np.testing.assert_allclose(metrics[n]["grad_norm"], np.linalg.norm(g), rtol=1e-5)
        g *= min(1, clip / np.linalg.norm(g))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        now = rate * (n / warmup if n < warmup else 0.5 * (1 + np.cos(np.pi * (n - warmup) / (steps - warmup))))
        p = p - now * (m / (1 - 0.9 ** (n + 1))) / (np.sqrt(v / (1 - 0.999 ** (n + 1))) + 1e-8)
        np.testing.assert_allclose(states[n + 1].params, p, rtol=2e-5)


def test_without_decay_the_rate_stays():
    """The gradient is constant, so that a step of Adam is the rate."""
    states, _ = run(pulled(lambda step: jnp.ones(2)), adam(0.1, 10, 2, 1e9, constant), 0.9, 10)
    moved = [float(b.params[0] - a.params[0]) for a, b in itertools.pairwise(states)]
    np.testing.assert_allclose(moved, [0, -0.05, *[-0.1] * 8], rtol=1e-3, atol=1e-6)


def test_each_step_has_a_key_of_its_own():
    """And the same key again when it is repeated."""
    seen = []

    def loss(params, frozen, key, batch):
        jax.debug.callback(lambda k: seen.append(tuple(np.asarray(k).tolist())), jax.random.key_data(key))
        return jnp.sum(params), {"loss": jnp.sum(params)}

    for _ in range(2):
        run(Method(lambda key: jnp.asarray(START), loss), adam(0.1, 3, 0, 1.0, constant), 0.9, 3)
        jax.effects_barrier()
    assert len(set(seen[:3])) == 3
    assert sorted(seen[:3]) == sorted(seen[3:])
