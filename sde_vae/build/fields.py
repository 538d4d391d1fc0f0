"""Every config field: its default, what is allowed, and one line of meaning.

This is the one place where they are said. `default_config` makes the config tree from it, `build.config.check` refuses what is not
allowed, and `python -m sde_vae.build.config_page` writes docs/config.md.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ml_collections import ConfigDict
from ml_collections.config_dict import FieldReference, placeholder


class Allowed(NamedTuple):
    """A range of values: its description, and the test of one value. `names` lists the choices of a field that is a name."""

    text: str
    holds: Callable[[Any], bool]
    names: tuple[str, ...] = ()


class Field(NamedTuple):
    """One config field. A default of None is an unset float."""

    default: Any
    meaning: str
    allowed: Allowed


Section = dict[str, Any]  # name -> Field or Section


def _real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def at_least(low: int | float) -> Allowed:
    return Allowed(f"at least {low:g}", lambda v: _real(v) and v >= low)


def above(low: int | float) -> Allowed:
    return Allowed(f"above {low:g}", lambda v: _real(v) and v > low)


def share(closed: bool = True) -> Allowed:
    return (
        Allowed("in [0, 1]", lambda v: _real(v) and 0 <= v <= 1)
        if closed
        else Allowed("in [0, 1)", lambda v: _real(v) and 0 <= v < 1)
    )


def one_of(*names: str) -> Allowed:
    return Allowed("one of " + ", ".join(names), lambda v: v in names, names)


def some_of(*names: str) -> Allowed:
    return Allowed("a tuple of " + ", ".join(names), lambda v: set(v) <= set(names), names)


FINITE = Allowed("a finite number", _real)
FINITE_OR_NONE = Allowed("a finite number, or None", lambda v: v is None or _real(v))
BOOLEAN = Allowed("True or False", lambda v: isinstance(v, bool))
TEXT = Allowed("text", lambda v: isinstance(v, str))
SIZES = Allowed("a tuple of whole numbers, at least 1", lambda v: all(isinstance(n, int) and n >= 1 for n in v))
IMAGE_SIZE = Allowed(
    "a whole number, at least 1, or two: (height, width)",
    lambda v: all(
        isinstance(n, int) and not isinstance(n, bool) and n >= 1
        for n in (v if isinstance(v, tuple | list) and len(v) == 2 else (v,))
    ),
)
SEED = Allowed("a whole number from 0 to 2**32 - 1", lambda v: _real(v) and 0 <= v < 2**32)
WIDTH = Allowed(
    "a multiple of 4 (of 32 above 128)",
    lambda v: _real(v) and v >= 1 and v % 4 == 0 and (v <= 128 or v % 32 == 0),
)
HIDDEN = Allowed("a multiple of 8, at least 16", lambda v: _real(v) and v >= 16 and v % 8 == 0)
PART = Allowed(
    "between 0 and 1: to train without synthetic images, set config.synthetic.n=0", lambda v: _real(v) and 0 < v < 1
)

SDES = ("vp", "cosine_vp", "sub_vp", "ve")
TIMES = ("uniform_t", "uniform_log_snr")
WEIGHTS = ("likelihood", "simple", "simple_velocity", "simple_beta", "p2", "min_snr", "sigmoid", "velocity")
METHODS = ("score_vae", "beta_vae", "diffuse_vae", "diff_decoder")
SOLVERS = (
    "euler_maruyama",
    "reverse_diffusion",
    "ancestral",
    "predictor_corrector",
    "ddim",
    "heun",
    "dpm_solver_pp_2m",
    "ode",
)
INVERTERS = ("heun", "ddim", "dpm_solver_pp_2m", "ode")
GRIDS = ("uniform_t", "uniform_log_snr", "edm")
FILTERS = ("box", "bilinear", "bicubic", "lanczos")
SPLITS = ("test", "valid", "train")
EXTRACTORS = ("none", "pixels", "efflite0", "fid")
LPIPS = ("alex", "vgg")
EVALUATORS = (
    "reconstruction",
    "inversion",
    "samples",
    "bits_per_dim",
    "importance",
    "elbo_vs_steps",
    "multi_sample",
    "noise_levels",
    "trajectory_consistency",
    "latents",
    "interpolation",
    "traversal",
    "edits",
    "neighbours",
    "latent_prior",
)
# Evaluators that need a score, and those that need an unconditional prior.
NEED_SCORE = ("inversion", "importance", "trajectory_consistency")
NEED_PRIOR = ("elbo_vs_steps",)
STAGES = ("prior", "encoder", "correction", "latent")


def _unet(who: str, **more: Field) -> Section:
    return {
        "channels": Field(32, f"channels of {who} at full resolution", WIDTH),
        "multipliers": Field(
            (1, 2), "channels at each resolution, in units of `channels`; each resolution halves the last", SIZES
        ),
        "blocks": Field(1, "residual blocks at each resolution", at_least(1)),
        "attention": Field((), "image sizes (the shorter side) at which there is self-attention", SIZES),
        "dropout": Field(0.0, "dropout rate in training", share(closed=False)),
    } | more


def _stage(steps: Field, weight: str, times: str) -> Section:
    return {
        "steps": steps,
        "batch_size": Field(64, "images a step, over all devices", at_least(1)),
        "learning_rate": Field(2e-4, "Adam's learning rate after the warm-up", above(0)),
        "warmup": Field(5000, "steps over which the learning rate rises from 0", at_least(0)),
        "weight": Field(weight, "weight of the denoising loss as a function of logSNR", one_of(*WEIGHTS)),
        "times": Field(times, "distribution of the times in training", one_of(*TIMES)),
        "checkpoint_every": Field(1000, "steps between checkpoints", at_least(1)),
        "log_every": Field(100, "steps between logged metrics", at_least(1)),
        "preview_every": Field(5000, "steps between images in TensorBoard; 0: none", at_least(0)),
    }


FIELDS: Section = {
    "method": Field("score_vae", "which model; score_vae with correction steps is ScoreVAE+", one_of(*METHODS)),
    "seed": Field(0, "seed of initialisation, batches and noise", SEED),
    "parallel": Field("pmap", "how a step runs over the devices", one_of("pmap", "data", "fsdp")),
    "keep_checkpoints": Field(3, "checkpoints kept for each stage", at_least(1)),
    "data": {
        "name": Field("digits", "data set: see docs/data.md; tfds:NAME for one of tensorflow-datasets", TEXT),
        "dir": Field("", "folder or zip with the data set's files", TEXT),
        "image_size": Field(8, "height and width in pixels; (height, width) where they differ", IMAGE_SIZE),
        "channels": Field(1, "1 for grey, 3 for colour", at_least(1)),
        "crop": Field(0, "longer side in pixels of the centre crop before the resize; 0: no crop", at_least(0)),
        "filter": Field("bilinear", "antialiased filter of the resize", one_of(*FILTERS)),
        "skip_corrupt": Field(False, "leave unreadable images out and list them, instead of stopping", BOOLEAN),
        "workers": Field(0, "processes that read ahead; 0: threads only", at_least(0)),
        "cache": Field("~/.cache/sde_vae/data", "folder of decoded images", TEXT),
    },
    "sde": {
        "name": Field("vp", "forward SDE", one_of(*SDES)),
        "t_min": Field(1e-3, "smallest time of training and sampling", above(0)),
        "beta_min": Field(0.1, "vp, sub_vp: noise rate at t = 0", FINITE),
        "beta_max": Field(20.0, "vp, sub_vp: noise rate at t = T", FINITE),
        "log_snr_min": Field(-10.0, "cosine_vp: logSNR at t = T", FINITE),
        "log_snr_max": Field(20.0, "cosine_vp: logSNR at t = 0", FINITE),
        "sigma_min": Field(0.01, "ve: noise at t = 0", FINITE),
        "sigma_max": Field(50.0, "ve: noise at t = T", FINITE),
    },
    "model": {
        "latent_dim": Field(16, "dimensions of z", at_least(1)),
        "log_var_bound": Field(8.0, "bound on the encoder's |log-variance|", above(0)),
        "prediction": Field("noise", "what the diffusion networks predict", one_of("noise", "velocity")),
        "dtype": Field(
            "float32", "precision of the diffusion networks; the encoder has float32", one_of("float32", "bfloat16")
        ),
        "prior": _unet("the prior's U-Net"),
        "encoder": _unet(
            "the encoder, half a U-Net",
            input=Field(
                "x_t",
                "score_vae: x_t itself, its linear estimate of x_0 (filtered), or the prior's E[x_0 | x_t] (denoised)",
                one_of("x_t", "filtered", "denoised"),
            ),
            num_statistics=Field(
                0,
                "score_vae: learnt statistics of z in which log q(z | x_t) is quadratic as well; 0: a Gaussian",
                at_least(0),
            ),
        ),
        "decoder": _unet("the decoder of beta_vae and diffuse_vae, and of diff_decoder's U-Net"),
        "likelihood": {
            "log_var": Field(0.0, "beta_vae, diffuse_vae: log-variance of p(x_0 | z), one for all pixels", FINITE),
            "learn_log_var": Field(False, "learn that log-variance", BOOLEAN),
        },
        "correction": _unet(
            "ScoreVAE+'s correction",
            body=Field("unet", "a U-Net of its own, or a head on the prior's features", one_of("unet", "head")),
        ),
        "latent_prior": {
            "hidden": Field(256, "width of the diffusion model of latent codes", HIDDEN),
            "blocks": Field(3, "residual blocks of the diffusion model of latent codes", at_least(1)),
        },
    },
    "prior": {"checkpoint": Field("", "a workdir with a trained prior, which replaces the prior stage", TEXT)},
    "loss": {
        "beta": Field(0.01, "weight of KL(q(z | x_0) || N(0, I))", at_least(0)),
        "free_bits": Field(0.0, "nats of KL in each latent dimension that are not penalised", at_least(0)),
        "kl_warmup": Field(0, "steps over which beta rises from 0", at_least(0)),
        "latent_dropout": Field(0.0, "diff_decoder: share of examples without z, for guidance", share(closed=False)),
        "log_density": Field(
            "full",
            "score_vae: log q(z | x_t), or without its log-variance term (quadratic)",
            one_of("full", "quadratic"),
        ),
        "sigmoid_bias": Field(2.0, "logSNR at which the sigmoid of the weights sigmoid and velocity is 1/2", FINITE),
    },
    "synthetic": {
        "n": Field(0, "images sampled from the prior, on which the encoder stage trains as well", at_least(0)),
        "share": Field(0.5, "their share of a batch", PART),
    },
    "optim": {
        "ema_decay": Field(0.9999, "decay of the exponential moving average of parameters", share(closed=False)),
        "clip": Field(1.0, "largest norm of the gradient", above(0)),
        "decay": Field("constant", "learning rate after the warm-up", one_of("constant", "cosine")),
    },
    "stages": {
        "prior": _stage(Field(100_000, "updates of the prior", at_least(1)), "simple", "uniform_t"),
        "encoder": _stage(
            Field(100_000, "updates of the encoder (and decoder)", at_least(1)), "likelihood", "uniform_log_snr"
        ),
        "correction": _stage(
            Field(0, "updates of ScoreVAE+'s correction; 0: none", at_least(0)), "velocity", "uniform_log_snr"
        ),
        "latent": _stage(
            Field(0, "updates of the diffusion model of latent codes; 0: none", at_least(0)),
            "sigmoid",
            "uniform_log_snr",
        ),
    },
    "sampling": {
        "solver": Field("euler_maruyama", "solver of the reverse process: see docs/solvers.md", one_of(*SOLVERS)),
        "grid": Field("uniform_t", "spacing of the solver's times", one_of(*GRIDS)),
        "rho": Field(7.0, "edm grid: its exponent", above(0)),
        "steps": Field(250, "steps of every solver but ode", at_least(1)),
        "eta": Field(0.0, "ddim, dpm_solver_pp_2m: 0 solves the ODE, 1 the SDE", share()),
        "churn": Field(0.0, "heun: EDM's S_churn", at_least(0)),
        "snr": Field(0.16, "predictor_corrector: signal-to-noise ratio of a Langevin step", above(0)),
        "corrector_steps": Field(1, "predictor_corrector: Langevin steps after each predictor step", at_least(1)),
        "rtol": Field(1e-4, "ode: relative tolerance", above(0)),
        "atol": Field(1e-4, "ode: absolute tolerance", above(0)),
        "inverter": Field("dpm_solver_pp_2m", "solver that finds the x_T of an image", one_of(*INVERTERS)),
        "prior_below": Field(None, "logSNR below which the prior alone decodes; None: nowhere", FINITE_OR_NONE),
        "prior_above": Field(3.0, "diffuse_vae: logSNR above which the prior alone decodes", FINITE),
        "guidance": Field(1.0, "score_vae: gamma; diff_decoder with latent_dropout: guidance scale", FINITE),
    },
    "eval": {
        "name": Field("", "folder of the evaluation under WORKDIR/eval; empty: eval itself", TEXT),
        "n": Field(360, "images of the split that are evaluated, or as many as there are", at_least(4)),
        "samples": Field(1000, "new images", at_least(4)),
        "batch_size": Field(128, "images decoded at once by each device", at_least(1)),
        "split": Field("test", "evaluated split", one_of(*SPLITS)),
        "prior": Field("", "a workdir whose prior, of the same SDE, decodes instead of the run's own", TEXT),
        "lpips": Field(("alex", "vgg"), "networks of LPIPS, from the extra `metrics`", some_of(*LPIPS)),
        "lpips_dir": Field("", "folder with the reference's own weight files of LPIPS", TEXT),
        "extractor": Field("efflite0", "features of FD and KID", one_of(*EXTRACTORS)),
        "fid_weights": Field("", "file with the weights of the FID's Inception", TEXT),
        "evaluators": Field(
            ("reconstruction", "samples", "bits_per_dim", "latents", "interpolation", "traversal"),
            "what is evaluated",
            some_of(*EVALUATORS),
        ),
    },
}


def default_config() -> ConfigDict:
    """Return the default config, locked: every field with its default.

    >>> default_config().model.latent_dim
    16
    """
    return _tree(FIELDS).lock()


def walk(section: Section | None = None, prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Yield ("section.field", Field) of every field, in order."""
    for name, item in (FIELDS if section is None else section).items():
        if isinstance(item, Field):
            yield f"{prefix}{name}", item
        else:
            yield from walk(item, f"{prefix}{name}.")


def fields_by_section(section: Section | None = None, name: str = "") -> Iterator[tuple[str, dict[str, Field]]]:
    """Yield ("section.subsection", {field: Field}) of every section that has fields of its own, "" for the whole config."""
    items = FIELDS if section is None else section
    if own := {field: item for field, item in items.items() if isinstance(item, Field)}:
        yield name, own
    for below, item in items.items():
        if not isinstance(item, Field):
            yield from fields_by_section(item, f"{name}.{below}" if name else below)


def _tree(section: Section) -> ConfigDict:
    config = ConfigDict()
    for name, item in section.items():
        if isinstance(item, Field) and item.allowed is IMAGE_SIZE:
            config[name] = FieldReference(item.default, field_type=object)  # may change to a pair
        elif isinstance(item, Field):
            config[name] = placeholder(float) if item.default is None else item.default
        else:
            config[name] = _tree(item)
    return config
