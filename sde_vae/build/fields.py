"""Every config field: its default, what is allowed, and one line of meaning.

This is the one place where they are said. `default_config` makes the config tree from it, `build.config.check` refuses what is not
allowed, and `python -m sde_vae.build.config_page` writes docs/config.md.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from ml_collections import ConfigDict, FieldReference

from sde_vae.build.allowed import (
    BOOLEAN,
    TEXT,
    Allowed,
    matching,
    number,
    one_of,
    one_or_two,
    optional,
    some_of,
    tuple_of,
    whole,
)
from sde_vae.build.readers import ALWAYS, Reader, all_of, any_of, asks_for, given, not_given, only, unless


class Field(NamedTuple):
    """One config field: its default, its meaning, what it takes, and which configs read it."""

    default: Any
    meaning: str
    allowed: Allowed
    reader: Reader = ALWAYS


Section = dict[str, Any]  # name -> Field or Section

SDES = ("vp", "cosine_vp", "sub_vp", "ve", "rectified_flow")
TIMES = ("uniform_t", "uniform_log_snr")
PREDICTIONS = ("noise", "velocity", "flow")
WEIGHTS = (
    "likelihood",
    "simple",
    "simple_velocity",
    "simple_beta",
    "p2",
    "min_snr",
    "pdae",
    "sigmoid",
    "velocity",
    "flow",
    "flow_logit_normal",
)
# Estimators of the score of x given y: those with a network of x_t and y, and those that stand on an unconditional prior.
ESTIMATORS = ("cde", "cdiffe", "cmde", "vs_cmde")
BY_BAYES = ("bayes", "dps", "pigdm")
# Standard deviation of the noise in y that those without training assume. That of DPS is the least of five that did not diverge on the
# digits: docs/conditional.md has how it was chosen.
ASSUMED_NOISE = {"dps": 0.3, "pigdm": 0.05}
METHODS = ("prior", "score_vae", "beta_vae", "diffuse_vae", "diff_decoder", "pdae", *ESTIMATORS, *BY_BAYES)
TASKS = (
    "inpainting",
    "inpainting_box",
    "inpainting_pixels",
    "super_resolution",
    "colourisation",
    "deblurring",
    "edges",
    "pairs",
)
# The data set of pairs (x, y), whose task has the same name.
PAIRS = "pairs"
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
GRIDS = ("uniform_t", "uniform_log_snr", "edm", "leading", "linspace", "trailing")
FILTERS = ("box", "bilinear", "bicubic", "lanczos")
FITS = ("cover", "contain", "none")
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
    "moments",
    "sliced_wasserstein",
    "nll_bound",
    "restoration",
    "labels",
)
# The data set of arrays that are no images, and the evaluators that apply to it; the last three apply to nothing else.
ARRAYS = "arrays"
ONLY_OF_ARRAYS = ("moments", "sliced_wasserstein", "nll_bound")
OF_ARRAYS = ("reconstruction", "latents", *ONLY_OF_ARRAYS)
# Evaluators that need a score, and those that need an unconditional prior.
NEED_SCORE = ("inversion", "importance", "trajectory_consistency")
NEED_PRIOR = ("elbo_vs_steps",)
# Those that need latent codes or an unconditional prior, that which needs observations y, that which needs labels, and those that need
# latent codes: all others.
NEED_EITHER, NEED_TASK, NEED_LABELS = ("samples", "bits_per_dim"), ("restoration",), ("labels",)
NEED_LATENT = tuple(
    name for name in EVALUATORS if name not in (*NEED_EITHER, *NEED_PRIOR, *NEED_TASK, *NEED_LABELS, *ONLY_OF_ARRAYS)
)
STAGES = ("prior", "encoder", "correction", "latent")


SEED = whole(0, 2**32 - 1)
COUNT, POSITIVE = whole(0), whole(1)
PROBABILITY = number(0, 1, below=True)
SIZE = whole(1, 4096)
# Beyond logSNR 33 the noise is below the rounding of x_0 in float32, and below -33 x_0 below that of the noise.
LOG_SNR = number(-33, 33)
# Fewer than four channels hold no two sinusoids of the noise level.
WIDTH = whole(4, 2048)
FOLDER = matching(r"(?!parts$)\w[\w.=+-]*", "a letter or digit, then any of these and . _ = + -; not parts; or empty")


# What reads the fields of a section.
WITH_PRIOR = only("method", "prior", "score_vae", "diffuse_vae", "pdae", *BY_BAYES)
HAS_LATENT = unless("method", "prior", *ESTIMATORS, *BY_BAYES)
HAS_PRIOR = any_of(WITH_PRIOR, all_of(HAS_LATENT, given("synthetic.n")))
TRAINS_PRIOR = all_of(WITH_PRIOR, not_given("prior.checkpoint"))
OF_SCORE_VAE = only("method", "score_vae")
TAKES_LABELS = only("method", "prior", "score_vae")
HAS_LABELS = all_of(TAKES_LABELS, given("labels.attribute"))
HAS_TASK = only("method", *ESTIMATORS, *BY_BAYES)
DIFFUSES_Y = only("method", "cmde", "vs_cmde")
# The stage that follows the prior, or is the only one.
TRAINS_MORE = unless("method", "prior", "dps", "pigdm")
PENALISES = all_of(HAS_LATENT, given("loss.beta"))
CORRECTED = all_of(OF_SCORE_VAE, given("stages.correction.steps"))
OF_VAE = only("method", "beta_vae", "diffuse_vae")
OF_DIFF_DECODER = only("method", "diff_decoder")
OF_PDAE = only("method", "pdae")
OF_ESTIMATORS = only("method", *ESTIMATORS)
OF_PAIRS = all_of(HAS_TASK, only("task.name", PAIRS))
HAS_DECODER = unless("method", "prior", "score_vae", "pdae", *BY_BAYES)
HAS_ENCODER = unless("method", "prior", *ESTIMATORS, "dps", "pigdm")
# The encoder stage of the others has no denoising loss.
DENOISES = only("method", "score_vae", "diff_decoder", "pdae", *ESTIMATORS, "bayes")
TRAINS_LATENT = all_of(HAS_LATENT, given("stages.latent.steps"))
BY_SIGMOID = any_of(
    *(
        all_of(only(f"stages.{stage}.weight", "sigmoid", "velocity"), reader)
        for stage, reader in zip(STAGES, (TRAINS_PRIOR, DENOISES, CORRECTED, TRAINS_LATENT), strict=True)
    )
)._replace(text="a stage that is trained has such a weight")
# beta_vae alone decodes in one pass.
SOLVES = any_of(unless("method", "beta_vae"), given("synthetic.n"), TRAINS_LATENT)._replace(
    text="the model has a solver"
)
OF_FILES = unless("data.name", "digits", "mnist5k", "avatars")
OF_PICTURES = unless("data.name", "digits", "mnist5k", "avatars", "fashion_mnist", "cifar10", ARRAYS)
HAS_IMAGES, HAS_ARRAYS = unless("data.name", ARRAYS), only("data.name", ARRAYS)
# Vectors and time series have MLPs.
HAS_UNETS = Reader(
    "examples are [H, W, C]", lambda config: config.data.name != ARRAYS or len(config.data.shape) not in (1, 2)
)


def _solver(*names: str) -> Reader:
    return all_of(SOLVES, only("sampling.solver", *names))


USES_ODE = any_of(_solver("ode"), all_of(SOLVES, only("sampling.inverter", "ode")))._replace(
    text="the model has a solver, and sampling.solver or sampling.inverter is ode"
)


def _unet(who: str, reader: Reader, of_maps: Reader | None = None, **more: Field) -> Section:
    """The fields of a network. `of_maps` says who reads those of its maps, if not all that read the others."""
    of_unet, of_maps = all_of(reader, HAS_UNETS), all_of(of_maps or reader, HAS_UNETS)
    return {
        "channels": Field(32, f"channels of {who} at full resolution; for vectors the width of its MLP", WIDTH, reader),
        "multipliers": Field(
            (1, 2),
            "channels at each resolution, in units of `channels`; each resolution halves the last",
            tuple_of(whole(1, 32), "a tuple of whole numbers from 1 to 32, at least one", least=1),
            of_maps,
        ),
        "blocks": Field(1, "residual blocks at each resolution, or of the MLP", whole(1, 32), reader),
        "attention": Field(
            (),
            "image sizes (the shorter side) at which there is self-attention",
            tuple_of(SIZE, "a tuple of whole numbers from 1 to 4096"),
            of_maps,
        ),
        "dropout": Field(0.0, "dropout rate in training", PROBABILITY, of_unet),
    } | more


def _stage(steps: Field, weight: str, times: str, reader: Reader, denoises: Reader | None = None) -> Section:
    denoises = denoises or reader
    return {
        "steps": steps,
        "batch_size": Field(64, "images a step, over all devices", POSITIVE, reader),
        "accumulation": Field(
            1,
            "parts into which a device's share of a batch is split; they are processed in turn, and memory holds the activations of one",
            POSITIVE,
            reader,
        ),
        "learning_rate": Field(2e-4, "Adam's learning rate after the warm-up", number(0, 1, above=True), reader),
        "warmup": Field(5000, "steps over which the learning rate rises from 0", COUNT, reader),
        "weight": Field(weight, "weight of the denoising loss as a function of logSNR", one_of(*WEIGHTS), denoises),
        "times": Field(times, "distribution of the times in training", one_of(*TIMES), denoises),
        "checkpoint_every": Field(1000, "steps between checkpoints", POSITIVE, reader),
        "log_every": Field(100, "steps between logged metrics", POSITIVE, reader),
        "preview_every": Field(5000, "steps between images in TensorBoard; 0: none", COUNT, reader),
    }


FIELDS: Section = {
    "method": Field("score_vae", "which model; score_vae with correction steps is ScoreVAE+", one_of(*METHODS)),
    "seed": Field(0, "seed of initialisation, batches and noise", SEED),
    "parallel": Field("pmap", "how a step runs over the devices", one_of("pmap", "data", "fsdp")),
    "keep_checkpoints": Field(3, "checkpoints kept for each stage", POSITIVE),
    "retrain": Field(
        False,
        "train again each stage that stands on another prior or encoder; the old one is kept as STAGE.before",
        BOOLEAN,
    ),
    "data": {
        "name": Field("digits", "data set: see docs/data.md; tfds:NAME for one of tensorflow-datasets", TEXT),
        "dir": Field("", "folder or zip with the data set's files; of arrays the file, or its folder", TEXT, OF_FILES),
        "image_size": Field(
            8, "height and width in pixels; (height, width) where they differ", one_or_two(SIZE), HAS_IMAGES
        ),
        "channels": Field(1, "1 for grey, 3 for colour, 4 for colour and alpha", whole(1, 4), HAS_IMAGES),
        "shape": Field(
            (),
            "shape of an example of arrays: (d,) of vectors, (length, channels) of time series, (height, width, channels)",
            tuple_of(whole(1, 65536), "a tuple of one to three whole numbers from 1 to 65536"),
            HAS_ARRAYS,
        ),
        "crop": Field(
            0, "longer side in pixels of the centre crop before the resize; 0: no crop", whole(0, 65536), OF_PICTURES
        ),
        "filter": Field("bilinear", "antialiased filter of the resize", one_of(*FILTERS), OF_PICTURES),
        "fit": Field(
            "cover",
            "pictures of another shape: cut at their longer side (cover), padded (contain), or refused (none)",
            one_of(*FITS),
            OF_PICTURES,
        ),
        "background": Field(
            None,
            "colour under transparent pixels and around padded pictures: 0 to 255, or one such number a channel; None: none",
            optional(tuple_of(whole(0, 255), "a number from 0 to 255, or a tuple of them", least=1)),
            OF_PICTURES,
        ),
        "to_grey": Field(False, "convert pictures in colour where channels is 1", BOOLEAN, OF_PICTURES),
        "follow_links": Field(
            False, "read what links out of the folder point to", BOOLEAN, only("data.name", "folder", "celeba", PAIRS)
        ),
        "skip_corrupt": Field(
            False, "leave unreadable images out and list them, instead of stopping", BOOLEAN, OF_PICTURES
        ),
        "workers": Field(0, "processes that read ahead; 0: threads only", whole(0, 64)),
        "cache": Field("~/.cache/sde_vae/data", "folder of decoded images", TEXT),
    },
    "sde": {
        "name": Field("vp", "forward SDE", one_of(*SDES)),
        "t_min": Field(1e-3, "smallest time of training and sampling", number(0, 1, above=True, below=True)),
        "beta_min": Field(0.1, "noise rate at t = 0", number(0, 1000), only("sde.name", "vp", "sub_vp")),
        "beta_max": Field(20.0, "noise rate at t = T", number(0, 1000, above=True), only("sde.name", "vp", "sub_vp")),
        "log_snr_min": Field(-10.0, "logSNR at t = T", LOG_SNR, only("sde.name", "cosine_vp", "rectified_flow")),
        "log_snr_max": Field(20.0, "logSNR at t = 0", LOG_SNR, only("sde.name", "cosine_vp")),
        "sigma_min": Field(0.01, "noise at t = 0", number(0, 1e6, above=True), only("sde.name", "ve")),
        "sigma_max": Field(50.0, "noise at t = T", number(0, 1e6, above=True), only("sde.name", "ve")),
    },
    "model": {
        "latent_dim": Field(16, "dimensions of z", whole(1, 65536), HAS_LATENT),
        "log_var_bound": Field(8.0, "bound on the encoder's |log-variance|", number(0, 20, above=True), HAS_ENCODER),
        "prediction": Field(
            "noise",
            "what the diffusion networks predict",
            one_of(*PREDICTIONS),
            any_of(HAS_PRIOR, OF_DIFF_DECODER, OF_ESTIMATORS),
        ),
        "dtype": Field(
            "float32",
            "type of the activations of the diffusion networks; encoder, bounds and likelihoods have float32",
            one_of("float32", "bfloat16"),
            all_of(any_of(HAS_PRIOR, OF_DIFF_DECODER, OF_ESTIMATORS), HAS_UNETS),
        ),
        "precision": Field(
            "highest",
            "precision of float32 products in the diffusion networks: float32 on every device, or the device's default (TF32 on a GPU, bfloat16 on a TPU)",
            one_of("highest", "default"),
            any_of(HAS_PRIOR, OF_DIFF_DECODER, OF_ESTIMATORS, TRAINS_LATENT),
        ),
        "prior": _unet(
            "the prior's U-Net",
            HAS_PRIOR,
            body=Field(
                "unet",
                "our U-Net, or the network of diffusers' UNet2DModel, which --mode export writes as its folder",
                one_of("unet", "unet2d"),
                HAS_PRIOR,
            ),
        ),
        "encoder": _unet(
            "the encoder, half a U-Net; of bayes, the U-Net that predicts y",
            HAS_ENCODER,
            input=Field(
                "x_t",
                "x_t itself, its linear estimate of x_0 (filtered), or the prior's E[x_0 | x_t] (denoised)",
                one_of("x_t", "filtered", "denoised"),
                OF_SCORE_VAE,
            ),
            num_statistics=Field(
                0,
                "learnt statistics of z in which log q(z | x_t) is quadratic as well; 0: a Gaussian",
                whole(0, 65536),
                OF_SCORE_VAE,
            ),
        ),
        "decoder": _unet(
            "the decoder of beta_vae and diffuse_vae, of diff_decoder's U-Net, and of the estimators' U-Net",
            HAS_DECODER,
        ),
        "likelihood": {
            "log_var": Field(
                0.0, "log-variance of p(x_0 | z), one for all pixels, within log_var_bound", number(-20, 20), OF_VAE
            ),
            "learn_log_var": Field(False, "learn that log-variance", BOOLEAN, OF_VAE),
        },
        "correction": _unet(
            "ScoreVAE+'s correction",
            CORRECTED,
            all_of(CORRECTED, only("model.correction.body", "unet")),
            body=Field(
                "unet", "a U-Net of its own, or a head on the prior's features", one_of("unet", "head"), CORRECTED
            ),
        ),
        "shift": _unet(
            "pdae's shift network, if a U-Net of its own",
            all_of(OF_PDAE, only("model.shift.body", "unet")),
            dropout=Field(0.0, "dropout rate in training", PROBABILITY, OF_PDAE),
            body=Field(
                "up_path",
                "a middle and up path on the frozen prior's down path, or a U-Net of its own",
                one_of("up_path", "unet"),
                OF_PDAE,
            ),
            output=Field(
                "score",
                "what it predicts: the shift of the score, as in the paper, or of the velocity",
                one_of("score", "velocity"),
                OF_PDAE,
            ),
        ),
        "latent_prior": {
            "hidden": Field(
                256, "width of the diffusion model of latent codes", whole(16, 8192, multiple=8), TRAINS_LATENT
            ),
            "blocks": Field(3, "residual blocks of the diffusion model of latent codes", whole(1, 64), TRAINS_LATENT),
        },
    },
    "prior": {
        "checkpoint": Field(
            "",
            "a workdir with a trained prior, or a pre-trained model (docs/pretrained.md), which replaces the prior stage",
            TEXT,
            HAS_PRIOR,
        ),
        "preset": Field("", "name of the settings that a pre-trained file leaves out", TEXT, given("prior.checkpoint")),
        "scheduler": Field(
            "",
            "scheduler_config.json, a folder with one, or a schedule's name, for a UNet2DModel without it",
            TEXT,
            given("prior.checkpoint"),
        ),
    },
    "loss": {
        "beta": Field(0.01, "weight of KL(q(z | x_0) || N(0, I))", number(0, 1e6), HAS_LATENT),
        "free_bits": Field(
            0.0, "nats of KL in each latent dimension that are not penalised", number(0, 1e6), PENALISES
        ),
        "kl_warmup": Field(
            0,
            "steps over which beta rises from 0, at most stages.encoder.steps",
            COUNT,
            PENALISES,
        ),
        "latent_dropout": Field(0.0, "share of examples without z, for guidance", PROBABILITY, OF_DIFF_DECODER),
        "log_density": Field(
            "full",
            "log q(z | x_t), or without its log-variance term (quadratic)",
            one_of("full", "quadratic"),
            OF_SCORE_VAE,
        ),
        "sigmoid_bias": Field(
            2.0,
            "logSNR at which the sigmoid of the weights sigmoid and velocity is 1/2",
            LOG_SNR,
            BY_SIGMOID,
        ),
    },
    "labels": {
        "attribute": Field(
            "",
            "attribute of the data whose values 0, 1, ... condition the prior; empty: no labels",
            TEXT,
            TAKES_LABELS,
        ),
        "classes": Field(10, "number of its values", whole(2, 65536), HAS_LABELS),
        "dropout": Field(
            0.1,
            "share of examples without their label, for guidance",
            number(0, 1, above=True, below=True),
            HAS_LABELS,
        ),
    },
    "synthetic": {
        "n": Field(
            0, "images sampled from the prior, on which the encoder stage trains as well", whole(0, 10**7), HAS_LATENT
        ),
        "share": Field(
            0.5,
            "their share of a batch",
            number(0, 1, above=True, below=True),
            all_of(HAS_LATENT, given("synthetic.n")),
        ),
    },
    "task": {
        "name": Field("inpainting", "what is observed of an image: see docs/conditional.md", one_of(*TASKS), HAS_TASK),
        "share": Field(
            0.25,
            "share of the pixels that is hidden",
            number(0, 1, above=True, below=True),
            all_of(HAS_TASK, only("task.name", "inpainting", "inpainting_pixels")),
        ),
        "factor": Field(
            4,
            "the side of the image, in sides of the small one",
            whole(2, 64),
            all_of(HAS_TASK, only("task.name", "super_resolution")),
        ),
        "blur": Field(
            1.0,
            "standard deviation of the Gaussian blur in pixels",
            number(0, 100, above=True),
            all_of(HAS_TASK, only("task.name", "deblurring")),
        ),
        "noise": Field(
            0.0,
            "standard deviation of the noise in y, on [-1, 1]",
            number(0, 100),
            all_of(HAS_TASK, unless("task.name", PAIRS)),
        ),
        "y_channels": Field(0, "channels of y, 1, 3 or 4; 0: as many as data.channels", whole(0, 4), OF_PAIRS),
        "swap": Field(False, "x is the picture A of a pair and y is B, instead of y A and x B", BOOLEAN, OF_PAIRS),
        "assumed_noise": Field(
            0.0,
            "standard deviation of the noise in y that dps and pigdm assume, if that is more than task.noise; 0: "
            + ", ".join(f"{std} for {method}" for method, std in ASSUMED_NOISE.items()),
            number(0, 100),
            only("method", "dps", "pigdm"),
        ),
        "variance": Field(
            0.25,
            "variance of a pixel on [-1, 1] that pigdm assumes",
            number(0, 100, above=True),
            only("method", "pigdm"),
        ),
    },
    "y_sde": {
        "sigma_max": Field(
            1.0, "noise of y at t = T", number(0, 1e6, above=True), all_of(DIFFUSES_Y, only("sde.name", "ve"))
        ),
        "beta_min": Field(
            0.001,
            "noise rate of y at t = 0",
            number(0, 1000),
            all_of(DIFFUSES_Y, only("sde.name", "vp", "sub_vp")),
        ),
        "beta_max": Field(
            0.2,
            "noise rate of y at t = T",
            number(0, 1000, above=True),
            all_of(DIFFUSES_Y, only("sde.name", "vp", "sub_vp")),
        ),
        "reduced_over": Field(
            0.5,
            "share of the training in which y's SDE changes from x's to its own",
            number(0, 1, above=True),
            only("method", "vs_cmde"),
        ),
    },
    "optim": {
        "ema_decay": Field(0.9999, "decay of the exponential moving average of parameters", PROBABILITY),
        "clip": Field(1.0, "largest norm of the gradient", number(0, 1e9, above=True)),
        "decay": Field("constant", "learning rate after the warm-up", one_of("constant", "cosine")),
    },
    "stages": {
        "prior": _stage(
            Field(100_000, "updates of the prior", POSITIVE, TRAINS_PRIOR), "simple", "uniform_t", TRAINS_PRIOR
        ),
        "encoder": _stage(
            Field(
                100_000, "updates of the encoder (and decoder), or of a conditional estimator", POSITIVE, TRAINS_MORE
            ),
            "likelihood",
            "uniform_log_snr",
            TRAINS_MORE,
            DENOISES,
        ),
        "correction": _stage(
            Field(0, "updates of ScoreVAE+'s correction; 0: none", COUNT, OF_SCORE_VAE),
            "velocity",
            "uniform_log_snr",
            CORRECTED,
        ),
        "latent": _stage(
            Field(0, "updates of the diffusion model of latent codes; 0: none", COUNT, HAS_LATENT),
            "sigmoid",
            "uniform_log_snr",
            TRAINS_LATENT,
        ),
    },
    "sampling": {
        "solver": Field(
            "euler_maruyama", "solver of the reverse process: see docs/solvers.md", one_of(*SOLVERS), SOLVES
        ),
        "grid": Field(
            "uniform_t",
            "spacing of the solver's times; the last three are whole steps of a discrete schedule",
            one_of(*GRIDS),
            SOLVES,
        ),
        "rho": Field(7.0, "the edm grid's exponent", number(1, 100), all_of(SOLVES, only("sampling.grid", "edm"))),
        "steps": Field(250, "steps of every solver but ode", whole(1, 100_000), SOLVES),
        "eta": Field(0.0, "0 solves the ODE, 1 the SDE", number(0, 1), _solver("ddim", "dpm_solver_pp_2m")),
        "clip_sample": Field(
            False,
            "clip E[x_0 | x_t] to [-1, 1] in every step, as DDPM's sampler",
            BOOLEAN,
            _solver("ancestral", "ddim"),
        ),
        "churn": Field(0.0, "EDM's S_churn", number(0, 1e6), _solver("heun")),
        "snr": Field(
            0.16, "signal-to-noise ratio of a Langevin step", number(0, 10, above=True), _solver("predictor_corrector")
        ),
        "corrector_steps": Field(
            1, "Langevin steps after each predictor step", whole(1, 1000), _solver("predictor_corrector")
        ),
        "rtol": Field(1e-4, "relative tolerance", number(1e-6, 1), USES_ODE),
        "atol": Field(1e-4, "absolute tolerance", number(1e-6, 1), USES_ODE),
        "inverter": Field("dpm_solver_pp_2m", "solver that finds the x_T of an image", one_of(*INVERTERS), SOLVES),
        "prior_below": Field(
            None, "logSNR below which the prior alone decodes; None: nowhere", optional(number(-100, 100))
        ),
        "prior_above": Field(
            3.0, "logSNR above which the prior alone decodes", number(-100, 100), only("method", "diffuse_vae")
        ),
        "guidance": Field(
            1.0,
            "score_vae, pdae and Bayes' rule for y: gamma; diff_decoder with latent_dropout: guidance scale",
            number(-1000, 1000),
            only("method", "score_vae", "diff_decoder", "pdae", *BY_BAYES),
        ),
    },
    "eval": {
        "name": Field("", "folder of the evaluation under WORKDIR/eval; empty: eval itself", FOLDER),
        "n": Field(360, "images of the split that are evaluated, or as many as there are", whole(4)),
        "samples": Field(
            1000,
            "new images",
            whole(4, 10**7),
            asks_for("eval.evaluators", "samples", "latent_prior", "moments", "sliced_wasserstein", "labels"),
        ),
        "batch_size": Field(128, "images decoded at once by each device", whole(1, 65536)),
        "split": Field("test", "evaluated split", one_of(*SPLITS)),
        "prior": Field("", "a workdir whose prior, of the same SDE, decodes instead of the run's own", TEXT),
        "lpips": Field(("alex", "vgg"), "networks of LPIPS, from the extra `metrics`", some_of(*LPIPS), HAS_IMAGES),
        "lpips_dir": Field(
            "",
            "folder with the reference's own weight files of LPIPS",
            TEXT,
            all_of(given("eval.lpips"), HAS_IMAGES),
        ),
        "extractor": Field("efflite0", "features of FD and KID", one_of(*EXTRACTORS), HAS_IMAGES),
        "fid_weights": Field(
            "", "file with the weights of the FID's Inception", TEXT, all_of(only("eval.extractor", "fid"), HAS_IMAGES)
        ),
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
        # `build.config` reads and checks the types, in words of its own: a ConfigDict would refuse 1e3 for a whole number.
        config[name] = FieldReference(item.default, field_type=object) if isinstance(item, Field) else _tree(item)
    return config
