"""Every field there is, with its default. A config is get_config() of this file and the lines in which it differs."""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    config = ConfigDict()
    # score_vae (with a correction stage: ScoreVAE+) | beta_vae | diffuse_vae | diff_decoder
    config.method = "score_vae"
    config.seed = 0
    config.parallel = "pmap"  # pmap | data | fsdp
    config.keep_checkpoints = 3

    config.data = ConfigDict()
    config.data.name = "digits"
    config.data.dir = ""
    config.data.image_size = 8
    config.data.channels = 1
    config.data.crop = 0  # side of the centre crop before the resize; 0: none
    config.data.filter = "bilinear"  # box | bilinear | bicubic | lanczos, antialiased
    config.data.skip_corrupt = False  # leave unreadable images out, and list them, instead of stopping
    config.data.workers = 0  # processes that read ahead
    config.data.cache = "~/.cache/sde_vae/data"  # decoded images

    config.sde = ConfigDict()
    config.sde.name = "vp"  # vp | cosine_vp | sub_vp | ve
    config.sde.t_min = 1e-3
    config.sde.beta_min, config.sde.beta_max = 0.1, 20.0  # vp, sub_vp
    config.sde.log_snr_min, config.sde.log_snr_max = -10.0, 20.0  # cosine_vp
    config.sde.sigma_min, config.sde.sigma_max = 0.01, 50.0  # ve

    config.model = ConfigDict()
    config.model.latent_dim = 16
    config.model.log_var_bound = 8.0
    config.model.prediction = "noise"  # noise | velocity: what the prior's network predicts
    config.model.dtype = "float32"  # float32 | bfloat16: what the prior computes in; the encoder keeps float32
    config.model.prior = _unet()
    config.model.prior.dropout = 0.0
    config.model.encoder = _unet()
    config.model.encoder.dropout = 0.0  # while it trains
    # x_t | filtered: its linear estimate of x_0 | denoised: the prior's E[x_0 | x_t], without t (score_vae)
    config.model.encoder.sees = "x_t"
    # learnt functions of z in which log q(z | x_t) is quadratic too, besides z itself; 0: a Gaussian (score_vae)
    config.model.encoder.statistics = 0
    config.model.decoder = _unet()  # beta_vae's and diffuse_vae's decoder; diff_decoder's U-Net
    config.model.decoder.dropout = 0.0
    config.model.likelihood = ConfigDict()  # beta_vae's and diffuse_vae's p(x_0 | z): one variance for all pixels
    config.model.likelihood.log_var, config.model.likelihood.learn_log_var = 0.0, False
    config.model.correction = _unet()  # score_vae's c_psi
    config.model.correction.dropout = 0.0
    config.model.correction.body = "unet"  # unet | head: `blocks` blocks of `channels` on the prior's features

    config.model.latent_prior = ConfigDict()  # a diffusion model of the codes, if config.stages.latent has steps
    config.model.latent_prior.hidden, config.model.latent_prior.blocks = 256, 3

    config.prior = ConfigDict()
    config.prior.checkpoint = ""  # a workdir with a trained prior, instead of the prior stage
    config.prior.times = "uniform_t"  # uniform_t | uniform_log_snr
    # likelihood | simple | simple_velocity | simple_beta | p2 | min_snr | sigmoid | velocity
    config.prior.weight = "simple"

    config.loss = ConfigDict()  # the encoder's
    config.loss.beta = 0.01
    config.loss.free_bits = 0.0  # nats of KL that each latent dimension has for nothing
    config.loss.kl_warmup = 0  # steps over which beta rises from 0
    config.loss.latent_dropout = 0.0  # diff_decoder: share of the examples without z, for guidance
    config.loss.log_density = "full"  # full | quadratic: without log q's log-variance term, for comparison (score_vae)
    config.loss.times = "uniform_log_snr"
    config.loss.weight = "likelihood"  # the weights of config.prior.weight
    # of all stages: the logSNR at which the sigmoid in `sigmoid` and `velocity` is a half
    config.loss.sigmoid_bias = 2.0

    # images drawn from the prior, on which the stage `encoder` (of beta_vae and diff_decoder the decoder too) trains beside the data's
    config.draws = ConfigDict()
    config.draws.n = 0
    config.draws.share = 0.5  # of a batch

    config.correction = ConfigDict()  # score_vae's third stage
    config.correction.times = "uniform_log_snr"
    config.correction.weight = "velocity"  # the weights of config.prior.weight

    config.optim = ConfigDict()
    config.optim.ema_decay = 0.9999
    config.optim.warmup = 5000
    config.optim.clip = 1.0
    config.optim.decay = "constant"  # constant | cosine

    config.stages = ConfigDict()
    config.stages.prior = _stage(steps=100_000)
    config.stages.encoder = _stage(steps=100_000)
    config.stages.correction = _stage(steps=0)
    config.stages.latent = _stage(steps=0)

    config.sampling = ConfigDict()
    # euler_maruyama | reverse_diffusion | ancestral | predictor_corrector | ddim | heun | dpm_solver_pp_2m | ode
    config.sampling.solver = "euler_maruyama"
    config.sampling.grid = "uniform_t"  # uniform_t | uniform_log_snr | edm
    config.sampling.rho = 7.0  # edm
    config.sampling.steps = 250  # of every solver but ode
    config.sampling.eta = 0.0  # ddim, dpm_solver_pp_2m: 0 solves the ODE, 1 the SDE
    config.sampling.churn = 0.0  # heun: EDM's S_churn
    config.sampling.snr, config.sampling.corrector_moves = 0.16, 1  # predictor_corrector
    config.sampling.rtol, config.sampling.atol = 1e-4, 1e-4  # ode
    # What finds the x_T that an image comes from: heun | ddim | dpm_solver_pp_2m | ode.
    config.sampling.inverter = "dpm_solver_pp_2m"
    # The prior alone decodes where logSNR is below this; None: nowhere.
    config.sampling.prior_below = placeholder(float)
    # diffuse_vae: the beta-VAE's image stands where logSNR is below this, the prior alone decodes above.
    config.sampling.prior_above = 3.0
    config.sampling.guidance = 1.0  # score_vae; diff_decoder with a latent_dropout

    config.eval = ConfigDict()
    config.eval.n = 360  # held-out images, or as many as there are
    config.eval.samples = 1000  # new images
    config.eval.batch_size = 128
    config.eval.split = "test"  # test | valid: settings are chosen on valid | train: how well what was seen is fitted
    config.eval.prior = (
        ""  # a workdir whose prior, of the same SDE, decodes instead of the one that the encoder was trained with
    )
    config.eval.lpips = ("alex", "vgg")  # of the extra `metrics`
    config.eval.lpips_dir = ""  # the reference's own files instead: alexnet-*.pth and alex.pth, vgg16-*.pth and vgg.pth
    # none | pixels (at 8x8) | efflite0 (of the extra `metrics`) | fid (of config.eval.fid_weights)
    config.eval.extractor = "efflite0"
    config.eval.fid_weights = ""  # pt_inception-2015-12-05-6726825d.pth, a safetensors of it, or jax-fid's pickle
    config.eval.evaluators = ("reconstruction", "samples", "bits_per_dim")
    # and: inversion, importance, averages, noise_levels, paths; latents, interpolation, traversal, edits, neighbours, latent_prior; ladder
    return config.lock()


def _unet() -> ConfigDict:
    unet = ConfigDict()
    unet.channels = 32
    unet.multipliers = (1, 2)
    unet.blocks = 1
    unet.attention = ()  # image sizes with self-attention
    return unet


def _stage(steps: int) -> ConfigDict:
    stage = ConfigDict()
    stage.steps = steps
    stage.batch_size = 64
    stage.checkpoint_every = 1000
    stage.log_every = 100
    stage.learning_rate = 2e-4
    return stage
