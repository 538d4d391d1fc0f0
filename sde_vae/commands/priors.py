"""Priors on their own: `sde_vae.load_prior`, and the export of one to diffusers' format."""

from functools import partial
from pathlib import Path

import jax

from sde_vae import runtime
from sde_vae.build.nets import is_image, unet2d
from sde_vae.build.parameters import load_prior as prior_of_run
from sde_vae.build.parameters import require_shapes
from sde_vae.build.pretrained_prior import is_run
from sde_vae.build.workdirs import find_workdir
from sde_vae.commands.export import refuse_existing
from sde_vae.errors import BadInput
from sde_vae.inference.diffusion_prior import DiffusionPrior
from sde_vae.methods.method import required
from sde_vae.methods.prior import prior_score
from sde_vae.nets.unet2d_options import options_from
from sde_vae.pretrained.diffusers_export import export_unet2d, log_snrs_of
from sde_vae.pretrained.open import open_prior
from sde_vae.pretrained.parts import parts_of
from sde_vae.run import Run, load


def load_prior(path: str | Path, preset: str = "", scheduler: str = "") -> DiffusionPrior:
    """Return the diffusion model in `path`: a pre-trained model of another project, or the prior of a trained run or workdir.

    docs/pretrained.md lists the formats; the files tell which it is. `preset` and `scheduler` are config.prior.preset and
    config.prior.scheduler, for files that leave out what these say. Raises BadInput for a path that is none of them, and for files that are
    damaged or of a network that we do not have. Nothing that a file names is run.

    >>> import sde_vae
    >>> sde_vae.load_prior("digits")
    <DiffusionPrior of images (8, 8, 1): 634,273 parameters, VP, t up to 1>
    """
    runtime.enable_compilation_cache()
    found = Path(path).expanduser()
    if not found.exists() or is_run(found):
        return _of_run(found)
    file = open_prior(found, preset, scheduler)
    if not all(file.spec.image_shape):
        raise BadInput(
            f"{found}: its files do not say the size of its images; use it as config.prior.checkpoint, with config.data.image_size"
        )
    parts = parts_of(file.spec)
    params = file.read()
    require_shapes(params, jax.eval_shape(parts.network.init, jax.random.key(0)), str(found))
    return DiffusionPrior(parts.sde, file.spec.image_shape, partial(prior_score, *parts), params, file.spec.notes)


def _of_run(path: Path) -> DiffusionPrior:
    """The prior of a trained run."""
    run = load(find_workdir(path))
    experiment = run.experiment
    found = prior_of_run(run.config, experiment, run.workdir)
    unconditional = required(required(experiment.prior, "prior").unconditional, "unconditional")
    return DiffusionPrior(
        experiment.decoder.sde, experiment.shape, lambda params: unconditional(params, {}), found.params
    )


def export_to(run: Run, out: Path) -> None:
    """Write the prior of a run as a folder of diffusers, whose DDPMPipeline loads it and samples from it.

    Raises BadInput for a model without a prior, and, with the reason, for one that the library's UNet2DModel and schedulers cannot hold.
    """
    config, experiment, spec = run.config, run.experiment, run.experiment.pretrained
    if experiment.prior is None:
        raise BadInput(f"--mode export: {experiment.title} has no prior to export")
    body = spec.body if spec else config.model.prior.body if is_image(experiment.shape) else "mlp"
    if body != "unet2d":
        raise BadInput(
            f"--mode export: the prior's network is {body}, which diffusers' UNet2DModel cannot hold; expected unet2d: train a prior with "
            "config.model.prior.body=unet2d"
        )
    refuse_existing(out)
    options = options_from(spec.options) if spec else unet2d(config, experiment.shape).options
    # A size that a loaded model's files do not say is the run's.
    options = options if options.sample_size else options._replace(sample_size=experiment.shape[0])
    prediction = spec.prediction if spec else config.model.prediction
    found = prior_of_run(config, experiment, run.workdir)
    levels = log_snrs_of(experiment.decoder.sde)
    for note in export_unet2d(out, options, found.params, levels, prediction, config.sampling.clip_sample):
        print(f"note: {note}")
    print(f"model     {out}: diffusers' DDPMPipeline.from_pretrained({str(out)!r}) loads it; {len(levels)} steps")
