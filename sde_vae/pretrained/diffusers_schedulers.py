"""scheduler_config.json of diffusers -> the schedule that a model was trained on, what it predicts, and how the scheduler samples.

The betas are in float32, as diffusers has them; alpha-bar is their product in float64.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sde_vae.diffusion.discrete_vp import discrete_vp
from sde_vae.errors import BadInput, choose, shortened
from sde_vae.pretrained.json_files import BOOLEAN, NUMBER, TEXT, Kind, list_of, or_null, require, whole

SCHEDULERS = ("DDPMScheduler", "DDIMScheduler")
# diffusers' name of a prediction -> ours. Its v is alpha eps - sigma x_0, which is ours for a VP SDE.
PREDICTIONS = {"epsilon": "noise", "sample": "denoised", "v_prediction": "velocity"}
MOST_STEPS = 100_000
KINDS: dict[str, Kind] = {
    "num_train_timesteps": whole(2, MOST_STEPS),
    "beta_start": NUMBER,
    "beta_end": NUMBER,
    "beta_schedule": TEXT,
    "trained_betas": or_null(list_of(NUMBER, 2, MOST_STEPS)),
    "prediction_type": TEXT,
    "rescale_betas_zero_snr": BOOLEAN,
    "clip_sample": BOOLEAN,
    "clip_sample_range": NUMBER,
    "thresholding": BOOLEAN,
    "timestep_spacing": TEXT,
    "steps_offset": NUMBER,
    "variance_type": TEXT,
    "predict_epsilon": BOOLEAN,
}
DEFAULTS: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "clip_sample": True,
    "clip_sample_range": 1.0,
    "thresholding": False,
    "timestep_spacing": "leading",
    "steps_offset": 0,
    "variance_type": "fixed_small",
}
# Those that a model was trained with: absent ones are worth a note.
OF_TRAINING = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule")


class Schedule(NamedTuple):
    """alphas_cumprod at the steps 0, 1, ...; what the network predicts, in our words; and notes, one line each."""

    alphas_cumprod: tuple[float, ...]
    prediction: str
    notes: tuple[str, ...]


def linear(steps: int, start: float, end: float) -> np.ndarray:
    """Return betas that are evenly spaced (arXiv:2006.11239)."""
    return np.linspace(start, end, steps)


def scaled_linear(steps: int, start: float, end: float) -> np.ndarray:
    """Return betas whose square roots are evenly spaced (arXiv:2112.10752)."""
    return np.square(np.linspace(math.sqrt(start), math.sqrt(end), steps))


def squaredcos_cap_v2(steps: int, start: float, end: float) -> np.ndarray:
    """Return the betas of the cosine schedule, at most 0.999 (arXiv:2102.09672, eq. 17); `start` and `end` have no effect."""
    del start, end
    bar = np.square(np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * math.pi / 2))
    return np.minimum(1 - bar[1:] / bar[:-1], 0.999)


def sigmoid(steps: int, start: float, end: float) -> np.ndarray:
    """Return betas that go from `start` to `end` along a sigmoid between -6 and 6 (arXiv:2203.02923)."""
    return start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, steps)))


BETAS: dict[str, Callable[[int, float, float], np.ndarray]] = {
    "linear": linear,
    "scaled_linear": scaled_linear,
    "squaredcos_cap_v2": squaredcos_cap_v2,
    "sigmoid": sigmoid,
}
# Schedulers by a short name, for a network that comes without one: ddpm_linear, ddpm_linear_v_prediction, ...
NAMED: dict[str, dict[str, Any]] = {
    f"ddpm_{schedule}{'' if prediction == 'epsilon' else f'_{prediction}'}": {
        "_class_name": "DDPMScheduler",
        **DEFAULTS,
        "beta_schedule": schedule,
        "prediction_type": prediction,
        **({"beta_start": 0.00085, "beta_end": 0.012} if schedule == "scaled_linear" else {}),
    }
    for schedule in BETAS
    for prediction in PREDICTIONS
}


def read_schedule(config: dict[str, Any], where: str) -> Schedule:
    """Return the schedule of a scheduler_config.json. Raises BadInput, naming the file `where`, for what we do not have."""
    name = config.get("_class_name")
    if name not in SCHEDULERS:
        raise BadInput(
            f"{where}: _class_name is {shortened(repr(name), 80)}, expected {' or '.join(SCHEDULERS)}; no other scheduler is read"
        )
    for option, kind in KINDS.items():
        if option in config:
            require(where, option, config[option], kind)
    values = DEFAULTS | config
    prediction = choose(f"{where}: prediction_type", values["prediction_type"], PREDICTIONS)
    old = [] if config.get("predict_epsilon", True) else ["predict_epsilon is false: the network predicts x_0 (sample)"]
    bars = alphas_cumprod(values, where)
    prediction = "denoised" if old else prediction
    if bars[-1] == 0 and prediction == "noise":
        raise BadInput(
            f"{where}: prediction_type is 'epsilon', expected 'v_prediction' or 'sample': the last step has zero SNR "
            "(rescale_betas_zero_snr), where epsilon says nothing of x_0"
        )
    try:
        discrete_vp(bars)
    except ValueError as error:
        raise BadInput(f"{where}: its betas make no schedule: {shortened(str(error))}") from error
    return Schedule(tuple(bars.tolist()), prediction, (*old, *_assumed(config), *_of_sampling(values, bars)))


def alphas_cumprod(values: dict[str, Any], where: str) -> np.ndarray:
    """Return alpha-bar, float64, of a complete configuration."""
    if values["trained_betas"] is not None:
        betas = np.asarray(values["trained_betas"], np.float64)
        if len(betas) != values["num_train_timesteps"]:
            raise BadInput(
                f"{where}: trained_betas has {len(betas)} numbers, expected num_train_timesteps, {values['num_train_timesteps']}"
            )
    else:
        make = choose(f"{where}: beta_schedule", values["beta_schedule"], BETAS)
        start, end = float(values["beta_start"]), float(values["beta_end"])
        if not 0 < start <= end < 1:
            raise BadInput(f"{where}: beta_start {start} and beta_end {end}, expected 0 < beta_start <= beta_end < 1")
        betas = make(values["num_train_timesteps"], start, end).astype(np.float32).astype(np.float64)
    bars = np.cumprod(1 - betas)
    if values["rescale_betas_zero_snr"]:
        # arXiv:2305.08891, algorithm 1: the square roots are shifted to end at 0, and scaled to begin as before.
        roots = np.sqrt(np.maximum(bars, 0))
        bars = np.square((roots - roots[-1]) * (roots[0] / (roots[0] - roots[-1]) if roots[0] > roots[-1] else 0.0))
    return bars


def _assumed(config: dict[str, Any]) -> list[str]:
    # With betas of its own, a scheduler has no use for the others.
    needed = OF_TRAINING[:1] if config.get("trained_betas") is not None else OF_TRAINING
    absent = ", ".join(f"{name} {DEFAULTS[name]}" for name in needed if name not in config)
    return [f"scheduler_config.json lacks options; diffusers' defaults of today are taken: {absent}"] if absent else []


def _of_sampling(values: dict[str, Any], bars: np.ndarray) -> list[str]:
    """Return what the file's scheduler does while it samples and our solvers do not, unless they are told."""
    notes = []
    if bars[-1] == 0:
        notes.append(f"the last step, {len(bars) - 1}, has zero SNR and is left out: T is {len(bars) - 2}")
    if values["thresholding"]:
        notes.append("its scheduler samples with dynamic thresholding, which no solver here has")
    elif values["clip_sample"]:
        by = "config.sampling.clip_sample = True does" if values["clip_sample_range"] == 1 else "no solver here does"
        notes.append(f"its scheduler clips x_0 to +-{values['clip_sample_range']} while it samples; {by}")
    if values["timestep_spacing"] != "leading" or values["steps_offset"]:
        notes.append(
            f"its scheduler has timestep_spacing {shortened(values['timestep_spacing'], 40)} and steps_offset {values['steps_offset']}; "
            "here config.sampling.grid says where the steps are"
        )
    if values["variance_type"] not in ("fixed_small", "fixed_small_log"):
        notes.append(
            f"its scheduler samples with variance_type {shortened(values['variance_type'], 40)}; ancestral has fixed_small"
        )
    return notes
