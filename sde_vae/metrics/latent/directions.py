"""The direction of the latent space along which an attribute changes: that of a linear probe."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from sde_vae.metrics.latent import probes


class Direction(NamedTuple):
    """step: what is added to a code for an edit of strength 1; log_odds: by how much that raises the probe's log-odds.

    Strength 1 is the difference of the mean log-odds of the training codes with the attribute and of those without: it takes
    the typical image that lacks it to where the typical one is that has it. So it says the same of a latent of any scale, of
    an attribute that is common and one that is rare.
    """

    step: Float[np.ndarray, "latent"]
    log_odds: float


def direction(codes: Float[np.ndarray, "n latent"], labels: Integer[np.ndarray, "n"]) -> Direction:
    """Of labels 0 and 1: straight across the probe's boundary as the standardised codes see it, mapped back.

    With codes z = m + s u and log-odds w.u + b, a move along w in u is one along s w in z. A step of s w d / |w|^2 raises them by
    d, and is the shortest in u that does. Raises BadInput if the labels are
    all the same.
    """
    probe = probes.fit(codes, labels)
    w, scale = probe[-1].coef_[0], probe[0].scale_
    log_odds = probe.decision_function(np.asarray(codes, np.float64))
    apart = float(log_odds[labels == 1].mean() - log_odds[labels == 0].mean())
    size = float(w @ w)
    # A probe that found nothing has w = 0, and no direction.
    return Direction(scale * w * (apart / size if size > 0 else 0.0), apart)
