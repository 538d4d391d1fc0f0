"""The bound of a density: against the entropy of Gaussian data, with the exact score, to its closed-form gap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.bounds.density import density_bound, reconstruction_density
from sde_vae.diffusion.sdes import VE, VP, CosineVP, SubVP
from sde_vae.types import Batch
from tests.bounds.test_bounds import N, at, means, terminal_gap, world_and_draws
from tests.helpers.oracles import gaussian_logpdf

# t_min is large enough for the last term's gap to be seen.
SDES = [VP(t_min=0.2), CosineVP(log_snr_min=-2.0, t_min=0.2), SubVP(t_min=0.3), VE(sigma_min=0.7)]
pytestmark = pytest.mark.usefixtures("x64")


def entropy(cov):
    return 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.asarray(cov))[1]


def decoder_gap(sde, cov):
    """E KL(p(x_0 | x_eps) || N(E[x_0 | x_eps], s^2 I)), s = sigma / alpha: both have the same mean."""
    a, s = at(sde, sde.t_min)
    values = np.linalg.eigvalsh(np.asarray(cov))
    ratio = values / (values + (s / a) ** 2)
    return 0.5 * np.sum(ratio - 1 - np.log(ratio))


@pytest.mark.parametrize("sde", SDES, ids=str)
def test_with_the_exact_score_it_exceeds_the_entropy_by_a_closed_form(sde):
    world, x_0 = world_and_draws()
    bound = density_bound(sde, None, world.marginal_score(sde), 0.0, N, jax.random.key(1), Batch(x_0, jnp.arange(N)))
    # The density of the same draws is subtracted: their entropy varies more than the bound's gap.
    mean, error = means(bound.total + gaussian_logpdf(x_0, world.m[None], world.C))
    gap = terminal_gap(sde, world.m, world.C) + decoder_gap(sde, world.C)
    assert gap > 5 * error  # so that a bound below the entropy would be seen
    assert abs(mean - gap) < 4 * error, (mean, gap, error)


def test_at_little_noise_the_gap_is_of_second_order():
    world, _ = world_and_draws()
    near, far = (decoder_gap(VP(t_min=t), world.C) for t in (0.002, 0.004))
    a, s = at(VP(t_min=0.002), 0.002)
    assert near == pytest.approx(0.25 * np.sum((s / a) ** 4 / np.linalg.eigvalsh(world.C) ** 2), rel=0.1)
    # s^2 grows a little faster than t.
    assert 4 < far / near < 6


def test_a_wrong_score_costs_more_and_never_less():
    world, x_0 = world_and_draws()
    sde, batch = SDES[0], Batch(x_0, jnp.arange(N))
    exact, wrong = (
        density_bound(sde, None, w.marginal_score(sde), 0.0, N, jax.random.key(1), batch)
        for w in (world, world._replace(C=1.5 * world.C))
    )
    for term in ("diffusion", "reconstruction"):
        mean, error = means(getattr(wrong, term) - getattr(exact, term))
        assert mean > 4 * error


def test_the_last_term_is_the_density_of_its_gaussian():
    """One draw: -log N(x_0; E[x_0 | x_eps], (sigma / alpha)^2 I), with Tweedie's mean found from the same x_eps."""
    world, x_0 = world_and_draws()
    x_0, sde, seen = x_0[:8], SDES[0], []

    def score(x, t):
        seen.append(x)
        return world.marginal_score(sde)(x, t)

    found = reconstruction_density(sde, score, jax.random.key(0), Batch(x_0, jnp.arange(8)))
    (x_eps,), (a, s) = seen, at(sde, sde.t_min)
    denoised = (x_eps + s**2 * world.marginal_score(sde)(x_eps, jnp.full(8, sde.t_min))) / a
    square = np.sum(np.square(x_0 - denoised), axis=1) / (s / a) ** 2
    np.testing.assert_allclose(found, 0.5 * square + 3 * np.log(np.sqrt(2 * np.pi) * s / a), rtol=1e-9)


def test_a_change_of_units_adds_its_log_determinant_and_is_that_of_the_density():
    """h(D x + b) = h(x) + log det D, so that the bound in other units exceeds the entropy there by the same gap."""
    world, x_0 = world_and_draws()
    scale = np.array([0.1, 3.0, 50.0])
    sde, batch, key = SDES[0], Batch(x_0[:100], jnp.arange(100)), jax.random.key(1)
    volume = float(np.log(scale).sum())
    plain, moved = (density_bound(sde, None, world.marginal_score(sde), v, 100, key, batch) for v in (0.0, volume))
    np.testing.assert_allclose(moved.total - plain.total, volume, rtol=1e-9)
    D = np.diag(scale)
    assert entropy(D @ np.asarray(world.C) @ D) == pytest.approx(entropy(world.C) + volume)
