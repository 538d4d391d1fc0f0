"""Images of independent Gaussian pixels whose ScoreVAE is exact: x_0 ~ N(0, V), z ~ N(G x_0, S2) pixel by pixel, and z ~ N(0, 1) as the bound has it.

Everything is known: the posterior, the conditional score, the likelihood of an image, the KL, and every term of the bound.
"""

import jax.numpy as jnp
import numpy as np

from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.diffusion.sdes import VP

SDE = VP(t_min=1e-4)
V, S2 = 0.1, 0.15
G = np.sqrt((1 - S2) / V)
SHAPE, D, LEVELS = (4, 4, 1), 16, 256
STEP = 2 / (LEVELS - 1)
# Of x_0 given z: mean G V z, variance V S2. In nats per pixel, the mean KL.
KL = -0.5 * np.log(S2)


def draw(n, seed):
    """uint8 images: three deviations fit."""
    x = np.sqrt(V) * np.random.default_rng(seed).standard_normal((n, *SHAPE))
    return np.clip(np.round((x + 1) / STEP), 0, LEVELS - 1).astype(np.uint8)


def encode(x):
    mean = G * x.reshape(len(x), -1)
    return DiagGaussian(mean, jnp.full_like(mean, np.log(S2)))


def score(z):
    return lambda x, t: _score(x - _at(SDE.alpha, t) * G * V * z.reshape(x.shape), t, V * S2)


def prior(x, t):
    return _score(x, t, V)


def bits_of(x):
    """-log2 P(x_0) per pixel of images [n, ...] in [-1, 1]: the density times the step of the levels. [n]."""
    x = np.asarray(x, np.float64).reshape(len(x), -1)
    return (0.5 * x**2 / V + 0.5 * np.log(2 * np.pi * V) - np.log(STEP)).mean(1) / np.log(2)


def _score(centred, t, variance):
    return -centred / (_at(SDE.alpha, t) ** 2 * variance + _at(SDE.sigma, t) ** 2)


def _at(of, t):
    return of(t)[:, None, None, None]
