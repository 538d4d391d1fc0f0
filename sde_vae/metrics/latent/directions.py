"""The direction in latent space along which an attribute changes, from a linear probe."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from sde_vae.metrics.latent import probes


class Direction(NamedTuple):
    """The direction of one attribute.

    step       is added to a latent code for an edit of strength 1
    log_odds   the increase of the probe's log-odds by `step`

    Strength 1 is the difference of the mean log-odds of training codes with the attribute and without it. It moves the typical
    image without the attribute to the typical image with it. Strengths therefore compare between latents of any scale, and
    between common and rare attributes.
    """

    step: Float[np.ndarray, "latent"]
    log_odds: float


def direction(codes: Float[np.ndarray, "n latent"], labels: Integer[np.ndarray, "n"]) -> Direction:
    """Return the direction of an attribute with labels 0 and 1: normal to the probe's boundary for standardised codes.

    With codes z = m + s u and log-odds w.u + b, a step along w in u is a step along s w in z. The step s w d / |w|^2 raises the
    log-odds by d, and is the shortest such step in u. Raises BadInput if all labels are equal.
    """
    probe = probes.fit(codes, labels)
    w, scale = probe[-1].coef_[0], probe[0].scale_
    log_odds = probe.decision_function(np.asarray(codes, np.float64))
    difference = float(log_odds[labels == 1].mean() - log_odds[labels == 0].mean())
    norm_squared = float(w @ w)
    # A probe without any association has w = 0 and no direction.
    return Direction(scale * w * (difference / norm_squared if norm_squared > 0 else 0.0), difference)
