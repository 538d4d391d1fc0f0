"""On a discrete schedule, ancestral and ddim are DDPM's and DDIM's samplers, step by step: diffusers' schedulers, given the same noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.schedulers import scheduling_ddpm

from sde_vae.arrays import expand, fold, keys_of, normal
from sde_vae.diffusion.discrete_vp import discrete_vp
from sde_vae.diffusion.scores import score_of_noise
from sde_vae.diffusion.sdes import VP
from sde_vae.inference.decoding import Decoder, decode
from sde_vae.solvers.exponential import ddim
from sde_vae.solvers.grids import leading, linspace, trailing
from sde_vae.solvers.step import clipped_denoise, denoise, path
from sde_vae.solvers.stochastic import ancestral, clipped_ancestral

GRIDS = {"leading": leading, "linspace": linspace, "trailing": trailing}
N = 10
KEYS = keys_of(jax.random.key(0), jnp.arange(2))
X = 1.5 * jax.random.normal(jax.random.key(1), (2, 4))
SDE = discrete_vp(DDPMScheduler().alphas_cumprod.double().numpy())


def noise(lib, x, t):
    """A model that is not linear, and does not magnify rounding as a wave would. Its x_0 leaves [-1, 1] by far."""
    return 0.5 * x + 0.2 * lib.tanh(x + t / 300)


def score(x, t):
    return score_of_noise(SDE, noise(jnp, x, expand(t, x)), t)


def ours(solver, finish, spacing):
    """x at the times after the first of the grid, and x_0."""
    grid = GRIDS[spacing](SDE, N - 1)
    xs = path(solver(SDE, score), KEYS, X, grid)[1:]
    return [*np.asarray(xs), np.asarray(finish(SDE, score, xs[-1], grid[-1]))]


def theirs(scheduler, step):
    scheduler.set_timesteps(N)
    x, xs = torch.tensor(np.asarray(X)), []
    for i, t in enumerate(scheduler.timesteps):
        drawn = torch.tensor(np.asarray(normal(fold(KEYS, i), X)))
        x = step(scheduler, noise(torch, x, t), t, x, drawn)
        xs.append(x.numpy())
    return xs


def agree(found, expected):
    """To float32; 1 - alpha-bar_0 = 1e-4 has four digits there."""
    assert len(found) == len(expected) == N
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("clip", [False, True])
def test_ancestral_is_ddpms_sampler(spacing, clip, monkeypatch):
    def step(scheduler, eps, t, x, drawn):
        monkeypatch.setattr(scheduling_ddpm, "randn_tensor", lambda *_, **__: drawn)
        return scheduler.step(eps, t, x).prev_sample

    solver, finish = (clipped_ancestral, clipped_denoise) if clip else (ancestral, denoise)
    agree(ours(solver, finish, spacing), theirs(DDPMScheduler(clip_sample=clip, timestep_spacing=spacing), step))


# With linspace, diffusers' DDIM goes to t - N // steps and not to the next of its times.
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("eta", [0.0, 0.5])
def test_ddim_is_ddims_sampler(spacing, clip, eta):
    def step(scheduler, eps, t, x, drawn):
        return scheduler.step(eps, t, x, eta=eta, variance_noise=drawn).prev_sample

    scheduler = DDIMScheduler(clip_sample=clip, timestep_spacing=spacing)
    agree(ours(ddim(eta, clip), clipped_denoise if clip else denoise, spacing), theirs(scheduler, step))


def test_a_decoding_ends_at_the_last_time_of_its_grid():
    """trailing ends at step 99, far from t_min."""
    decoder = Decoder(SDE, ddim(), trailing(SDE, N - 1))
    assert decoder.grid[-1] == 99
    np.testing.assert_allclose(decode(decoder, score, KEYS, X), ours(ddim(), denoise, "trailing")[-1], rtol=1e-6)


def test_clipping_changes_what_is_compared():
    for plain, clipped in ((ancestral, clipped_ancestral), (ddim(), ddim(clip=True))):
        differ = np.abs(ours(plain, denoise, "leading")[3] - ours(clipped, denoise, "leading")[3])
        assert differ.max() > 0.1


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("steps", [2, 7, 50, 333, 1000])
def test_grids_are_diffusers_times(spacing, steps):
    scheduler = DDPMScheduler(timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    np.testing.assert_array_equal(GRIDS[spacing](SDE, steps - 1), scheduler.timesteps.numpy())


@pytest.mark.parametrize("spacing", GRIDS)
def test_a_schedule_with_too_few_steps_is_refused(spacing):
    for sde, steps in ((SDE, 1000), (VP(), 5)):
        with pytest.raises(ValueError, match="whole times, expected at least"):
            GRIDS[spacing](sde, steps)
