"""What a t_min above the steps of the data costs its bound, by quadrature, beside what docs/metrics.md says."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.bounds.terms import reconstruction_at
from sde_vae.diffusion.sdes import VP

LEVELS = 256
GREY = np.linspace(-1, 1, LEVELS)
SMOOTH = np.exp(-0.5 * (GREY / 0.3) ** 2) / np.exp(-0.5 * (GREY / 0.3) ** 2).sum()
PIXELS = {
    "smooth": SMOOTH,
    "half of them black": 0.5 * SMOOTH + 0.5 * (GREY == -1),
    "every second level empty": np.where(np.arange(LEVELS) % 2 == 0, SMOOTH, 0) / SMOOTH[::2].sum(),
}
PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROWS = re.findall(r"^\| `(1e-\d)` \|(?:[^|]+)\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE.read_text(), re.MULTILINE)


def cost(t_min, pixels):
    """Bits a pixel that the bound of *exact* scores exceeds the entropy by, because its last term takes all grey levels as equally likely:
    E[-log p(x_0 | x_eps)] less the same of the true posterior of x_0."""
    sde, t = VP(t_min=t_min), jnp.full(1, t_min)
    alpha, sigma = float(sde.alpha(t)[0]), float(sde.sigma(t)[0])
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    i = np.flatnonzero(pixels)
    x_eps = alpha * GREY[i, None] + sigma * nodes[None]
    x_0 = np.broadcast_to(GREY[i, None], x_eps.shape)
    flat = lambda a: jnp.asarray(a.reshape(-1, 1), jnp.float32)
    equally = np.asarray(reconstruction_at(sde, LEVELS, flat(x_0), flat(x_eps)), np.float64).reshape(x_eps.shape)
    kernel = -0.5 * ((x_eps[..., None] - alpha * GREY[None, None]) / sigma) ** 2
    true = np.log((pixels[None, None] * np.exp(kernel)).sum(-1)) + 0.5 * nodes[None] ** 2 - np.log(pixels[i, None])
    return float(pixels[i] @ ((equally - true) @ weights) / weights.sum() / np.log(2))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_page_says_what_t_min_costs(row):
    found = [cost(float(row[0]), pixels) for pixels in PIXELS.values()]
    np.testing.assert_allclose(found, [float(value) for value in row[1:]], atol=0.002)


def test_the_page_has_the_floor():
    assert [t for t, *_ in ROWS] == ["1e-3", "1e-4", "1e-5"]
    assert all(float(value) < 0.001 for value in ROWS[-1][1:])
