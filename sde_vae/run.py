"""A trained run in the hand: encode, decode, sample, interpolate, from Python."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from sde_vae import runtime
from sde_vae.build.config import checked, set_fields
from sde_vae.build.data import example_shape
from sde_vae.build.experiment import Experiment, build
from sde_vae.build.fields import HAS_LATENT
from sde_vae.build.lineage import notes_on, require_lineage
from sde_vae.build.parameters import load_stage, place_params, trained_model, unfinished_prior
from sde_vae.build.tasks import condition_shapes
from sde_vae.build.workdirs import PACKAGED, check_same_model, find_workdir, trained_config
from sde_vae.data.dataset import evenly_spaced, take, to_model
from sde_vae.data.scaling import Standardisation, standardisation_of
from sde_vae.diffusion.gaussians import DiagGaussian
from sde_vae.errors import BadInput
from sde_vae.inference.aggregate_posterior import aggregate_posterior, sample_posterior
from sde_vae.inference.bound import as_density, as_mass, method_bound, prior_bound, terms_per_image
from sde_vae.inference.compiled import Compiled, compile_model
from sde_vae.inference.interpolation import lerp, traverse
from sde_vae.inference.model import Model
from sde_vae.inference.restoration import observe_images, restore
from sde_vae.inference.units import Units, units_of
from sde_vae.inference.user_images import codes_from_user, labels_from_user, on_levels, whole
from sde_vae.keys import generator, stream
from sde_vae.methods.observation import Measurement
from sde_vae.metrics.latent.gaussian import LatentGaussian
from sde_vae.training import workdir as workdirs
from sde_vae.training.checkpoints import Trained
from sde_vae.types import Condition, Frozen, PRNGKey


class Inversion(NamedTuple):
    """z [n, latent_dim] and x_T [n, H, W, C] of images, and what the ODE makes of both: [n, H, W, C] in [0, 1]."""

    z: np.ndarray
    x_T: np.ndarray
    reconstruction: np.ndarray


class Bound(NamedTuple):
    """The evidence bound of each example, [n] each: total = kl + prior + diffusion + reconstruction. In bits per dimension, or in nats."""

    kl: np.ndarray
    prior: np.ndarray
    diffusion: np.ndarray
    reconstruction: np.ndarray
    total: np.ndarray


def load(workdir: str | Path, changes: dict[str, Any] | None = None) -> "Run":
    """Return the trained run in `workdir`, or the packaged run of that name ("digits").

    `changes` sets config fields of evaluation and sampling, {"sampling.steps": 50}. Nothing but config.json is read until it is
    needed. Raises BadInput if `workdir` holds no trained run, or if a change would alter the model.

    >>> import sde_vae
    >>> run = sde_vae.load("digits")
    >>> run.sample(4).shape
    (4, 8, 8, 1)
    """
    runtime.enable_compilation_cache()
    directory = find_workdir(workdir)
    config = checked(set_fields(trained_config(directory), changes or {}))
    check_same_model(config, directory)
    return Run(directory, config)


class Run:
    """A trained run. Made by `sde_vae.load`.

    Images come in as uint8 [n, H, W, C] (0 to 255) or floats in [0, 1], and go out as float32 in [0, 1]. Vectors [n, d], time series
    [n, length, channels] and other arrays come and go in the units of the data that the run was trained on. Latent codes z are float32
    [n, latent_dim]. `seed` fixes all noise; None is config.seed. For the same arguments every call returns the same numbers, those of
    the command line. With progress=True a bar is shown. Wrong shapes, types and ranges raise BadInput.
    """

    def __init__(self, directory: Path, config: ConfigDict) -> None:
        self.workdir = directory
        self.config = config
        self._compiled: dict[tuple, Compiled] = {}
        self._stages: dict[str, Trained] = {}

    def __repr__(self) -> str:
        latents = f", {self.config.model.latent_dim} latents" if HAS_LATENT.holds(self.config) else ""
        return f"<Run {self.workdir}: {self.config.method} on {self.config.data.name}{latents}>"

    @property
    def results(self) -> Path:
        """The folder for what is written about the run: its workdir, or runs/NAME in the current folder for a packaged run."""
        return Path("runs", self.workdir.name) if self.workdir.resolve().parent == PACKAGED.resolve() else self.workdir

    @cached_property
    def experiment(self) -> Experiment:
        """What the config describes, built."""
        return build(self.config, self.workdir)

    def stage(self, name: str) -> Trained:
        """Return the EMA parameters of a stage, read once. Those of the prior are of the run in config.eval.prior, if it is set."""
        if name not in self._stages:
            self._stages[name] = load_stage(self.config, self.experiment, self.workdir, name, self.config.eval.prior)
        return self._stages[name]

    @cached_property
    def trained(self) -> Trained:
        """The EMA parameters of the final stage, and their step."""
        return self.stage(self.experiment.final.name)

    @cached_property
    def frozen(self) -> Frozen:
        """The EMA parameters of the stages that the final one depends on. Raises BadInput if it was trained on others."""
        final = self.experiment.final
        require_lineage(self.config, self.experiment, (*final.depends_on, final.name), self.stage, self.workdir)
        return {name: self.stage(name).params for name in final.depends_on}

    @cached_property
    def latent(self) -> Trained | None:
        """The diffusion model of the latent codes, or None."""
        if self.experiment.latent is None:
            return None
        require_lineage(self.config, self.experiment, ("latent",), self.stage, self.workdir)
        return self.stage("latent")

    @cached_property
    def model(self) -> Model:
        """The pure functions of the trained model."""
        return trained_model(self.experiment, place_params(self.trained, self.frozen, self.latent))

    @cached_property
    def levels(self) -> int:
        """The number of grey levels of the data, 256 as a rule; 0 for arrays that are no images."""
        kept = workdirs.read_facts(self.workdir).get("data", {})
        return kept["levels"] if "levels" in kept else self.experiment.load().levels

    @cached_property
    def scaling(self) -> Standardisation | None:
        """The standardisation of arrays that are no images, as the run was trained with; None for images."""
        return standardisation_of(workdirs.read_facts(self.workdir).get("data", {}))

    @cached_property
    def units(self) -> Units:
        """How examples come in and go out."""
        return units_of(self.scaling)

    @cached_property
    def aggregate_posterior(self) -> LatentGaussian:
        """The Gaussian with the moments of q(z) over the training images, which are read for it."""
        data = self.experiment.load()
        return aggregate_posterior(self._functions().encode, data.split("train").images, data.levels)

    def unfinished(self) -> list[str]:
        """Return a note for each stage that the run uses and that is not trained to its last step."""
        found = {self.experiment.final.name: self.trained.step, **({"latent": self.latent.step} if self.latent else {})}
        for name in self.experiment.final.depends_on:
            # Another run's prior is compared with that run's steps, below.
            if name != "prior" or not self.config.eval.prior:
                found[name] = self.stage(name).step
        steps = {stage.name: stage.steps for stage in self.experiment.stages}
        other = []
        if self.experiment.prior and (self.config.eval.prior or self.config.prior.checkpoint):
            other = unfinished_prior(self.config, self.stage("prior"), self.config.eval.prior)
        old = [note for note in notes_on(self.config, self.experiment, self.workdir) if "earlier version" in note]
        return [*other, *old] + [
            f"note: the stage {name} is at step {step} of {steps[name]}: its training is not finished"
            for name, step in found.items()
            if step < steps.get(name, 0)
        ]

    def images(self, split: str = "test", n: int = 16) -> np.ndarray:
        """Return n images of the run's own data, evenly spaced over a split: float32 [n, H, W, C] in [0, 1].

        Arrays that are no images come in their own units, [n, *shape]. Pairs have the channels of x, and then those of y.

        >>> sde_vae.load("digits").images("test", 2).shape
        (2, 8, 8, 1)
        """
        data = self.experiment.load()
        return self.units.to_user(to_model(evenly_spaced(data.split(split).images, whole(n, "n", 1)), data.levels))

    def encode(self, images: Any, progress: bool = False) -> DiagGaussian:
        """Return q(z | x_0) of each image: .mean and .log_var, float32 [n, latent_dim].

        >>> run = sde_vae.load("digits")
        >>> run.encode(run.images("test", 2)).mean.shape
        (2, 16)
        """
        self._require_latent("encode")
        x = self.units.from_user(images, self.experiment.shape)
        return self._functions().encode(x, "encode" if progress else None)

    def decode(
        self,
        z: Any,
        seed: int | None = None,
        steps: int | None = None,
        solver: str | None = None,
        guidance: float | None = None,
        x_T: Any = None,
        progress: bool = False,
    ) -> np.ndarray:
        """Return images [n, H, W, C] decoded from z [n, latent_dim].

        solver, steps and guidance override config.sampling for this call. x_T [n, H, W, C] replaces the random noise from which
        decoding starts. Image i has the noise of index i, whatever else is decoded with it.

        >>> run = sde_vae.load("digits")
        >>> run.decode(run.encode(run.images("test", 2)).mean, steps=5).shape
        (2, 8, 8, 1)
        """
        self._require_latent("decode")
        z = codes_from_user(z, self.experiment.latent_dim)
        if x_T is not None:
            x_T = np.asarray(x_T, np.float32)
            if x_T.shape != (wanted := (len(z), *self.experiment.shape)):
                raise BadInput(f"x_T: got an array of shape {x_T.shape}, expected {wanted}")
            if not np.all(np.isfinite(x_T)):
                raise BadInput("x_T: got values that are not finite, expected finite ones")
        settings = {"solver": solver, "steps": steps, "guidance": guidance}
        unused = [name for name, value in {**settings, "x_T": x_T}.items() if value is not None]
        if unused and self.model.score is None:
            raise BadInput(
                f"{unused[0]}: {self.model.title} decodes in one pass, without a solver or noise; leave it out"
            )
        functions = self._functions(settings)
        label = "decode" if progress else None
        return self.units.to_user(
            functions.decode(self._key(seed, "decode"), z, np.arange(len(z), dtype=np.int32), label, x_T)
        )

    def reconstruct(self, images: Any, seed: int | None = None, progress: bool = False) -> np.ndarray:
        """Return each image decoded from one z ~ q(z | x_0): [n, H, W, C].

        The reconstruction from the posterior's mean is run.decode(run.encode(images).mean).
        """
        q = self.encode(images, progress)
        z = sample_posterior(q, generator(self._seed(seed), "posterior"))
        return self.decode(z, seed, progress=progress)

    def sample(
        self,
        n: int,
        seed: int | None = None,
        progress: bool = False,
        start: int = 0,
        label: Any = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """Return n new images [n, H, W, C]: samples of the prior, or decodings of z ~ N(0, I) of a method without one.

        Of a method with a task, image i is a restoration of what is observed of image i of the evaluated split, and from its start
        again after its last. The images of a seed have numbers: these are start, start + 1, ... Image i is the same, up to rounding,
        whatever n is.

        `label` is one class, or one for each image [n], of a run that was trained with config.labels; `guidance` is the scale of
        classifier-free guidance, 1 by default: the class's own score. Image i has the same noise whatever its class and guidance.
        """
        whole(n, "n", 1)
        index = np.arange(whole(start, "start", 0), start + n, dtype=np.int32)
        key, shown = self._key(seed, "sample"), "sample" if progress else None
        if label is None:
            if guidance is not None:
                raise BadInput(
                    f"guidance: got {guidance!r} without a label, expected both; give a label, or leave it out"
                )
            if self.experiment.measurement is not None:
                return self._restored(index, seed, progress)
            return self.units.to_user(self._functions().sample(key, index, shown))
        if self.experiment.final.method.labelled is None:
            raise BadInput(
                f"label: got {label!r}, but this run was trained without labels; leave it out, or train with config.labels.attribute"
            )
        classes, scale = labels_from_user(label, 1.0 if guidance is None else guidance, n, self.config.labels.classes)
        return self.units.to_user(self._functions().of_classes(key, index, classes, scale, shown))

    def observe(self, images: Any, seed: int | None = None) -> Condition:
        """Return what the run's task observes of images [n, H, W, C]: .y on [-1, 1], and .mask [n, H, W, 1] or None.

        It is what `restore` takes. Pairs come as `images` returns them. The seed fixes the masks and the noise in y.
        """
        measurement = self._require_task("observe")
        x = self.units.from_user(images, example_shape(self.config))
        return observe_images(measurement.observe, x, self._seed(seed), self.config.eval.batch_size)[1]

    def restore(
        self, y: Any, n: int = 5, mask: Any = None, seed: int | None = None, progress: bool = False
    ) -> np.ndarray:
        """Return n draws of x given each observation: [m, n, H, W, C] in [0, 1].

        y is what `observe` returns, or observations [m, ...] as uint8 or floats in [0, 1], of the size that the run's task makes; for
        inpainting with a mask [m, H, W] or [m, H, W, 1], 1 where y is seen and 0 in the hole.
        """
        self._require_task("restore")
        whole(n, "n", 1)
        condition = y if isinstance(y, Condition) else self._condition(y, mask)
        label = "restore" if progress else None
        return self.units.to_user(restore(self._functions().decode, condition, n, self._seed(seed), label))

    def interpolate(self, a: Any, b: Any, frames: int = 9, seed: int | None = None) -> np.ndarray:
        """Return the decodings of z on the straight line from image a to image b: [frames, H, W, C].

        For batches a and b of n images each: [n, frames, H, W, C]. All frames of a pair start from the same noise.

        >>> run = sde_vae.load("digits")
        >>> a, b = run.images("test", 2)
        >>> run.interpolate(a, b, frames=5).shape
        (5, 8, 8, 1)
        """
        self._require_latent("interpolate")
        whole(frames, "frames", 2)
        first, last = (self._batch(x, name) for x, name in ((a, "a"), (b, "b")))
        if len(first) != len(last):
            raise BadInput(f"b: got {len(last)} images, expected as many as in a, {len(first)}")
        ends = [self._functions().encode(x).mean for x in (first, last)]
        paths = lerp(ends[0], ends[1], np.linspace(0, 1, frames))
        return self._single(self._decode_paths(paths, seed), a)

    def traverse(
        self, image: Any, dim: int, values: Iterable[float] | None = None, seed: int | None = None
    ) -> np.ndarray:
        """Return the decodings of an image's z with dimension `dim` set to each of `values`: [frames, H, W, C].

        By default 9 values, from -3 to 3 standard deviations of the aggregate posterior around the image's own; the training images
        are read for that. For a batch of n images: [n, frames, H, W, C]. All frames start from the same noise.
        """
        self._require_latent("traverse")
        if not isinstance(dim, int | np.integer) or not 0 <= dim < self.experiment.latent_dim:
            raise BadInput(f"dim: got {dim}, expected a latent dimension, 0 to {self.experiment.latent_dim - 1}")
        z = self._functions().encode(self._batch(image, "image")).mean
        if values is None:
            offsets = np.linspace(-3, 3, 9) * self.aggregate_posterior.std[dim]
            paths = np.concatenate([traverse(row[None], dim, (row[dim] + offsets).astype(z.dtype)) for row in z])
        else:
            given = np.asarray(list(values), z.dtype)
            if given.ndim != 1 or len(given) == 0 or not np.all(np.isfinite(given)):
                raise BadInput(f"values: got {given}, expected one or more finite numbers")
            paths = traverse(z, dim, given)
        return self._single(self._decode_paths(paths, seed), image)

    def invert(self, images: Any, progress: bool = False) -> Inversion:
        """Return z (the mean), the x_T that the probability-flow ODE finds, and the images it decodes from both.

        Raises BadInput for a method that decodes in one pass.
        """
        self._require_latent("invert")
        if self.model.score is None:
            raise BadInput(f"invert: {self.model.title} decodes in one pass, so there is no x_T to find")
        x = self.units.from_user(images, self.experiment.shape)
        functions = self._functions()
        z = functions.encode(x).mean
        x_T, back = np.moveaxis(functions.invert(z, x, "invert" if progress else None), 1, 0)
        return Inversion(z, x_T, self.units.to_user(back))

    def bits_per_dim(self, images: Any, draws: int = 16, seed: int | None = None) -> Bound:
        """Return the evidence bound of each image, term by term, in bits per dimension: .total, .kl, .prior, ..., each [n].

        The images must lie on the data's grey levels. The diffusion term is a Monte Carlo estimate from `draws` draws an image.
        Raises BadInput for arrays that are no images: see `nll_bound`.
        """
        whole(draws, "draws", 1)
        if self.scaling is not None:
            raise BadInput("bits_per_dim: these data have no grey levels but a density; take nll_bound, in nats")
        x = on_levels(self.units.from_user(images, self.experiment.shape), self.levels)
        found = terms_per_image(None, self._bound, x, x, draws, self._seed(seed), self.config.eval.batch_size)
        return Bound(**found)

    def nll_bound(self, x: Any, draws: int = 16, seed: int | None = None) -> Bound:
        """Return the evidence bound on -log p(x) of each example, term by term, in nats: .total, .kl, .prior, ..., each [n].

        p is the density in the units of x, so that the bound may be negative. For arrays that are no images; raises BadInput for images,
        which have masses: see `bits_per_dim`.
        """
        whole(draws, "draws", 1)
        if self.scaling is None:
            raise BadInput("nll_bound: images have no density but masses on grey levels; take bits_per_dim")
        x = self.units.from_user(x, self.experiment.shape)
        found = terms_per_image(None, self._bound, x, x, draws, self._seed(seed), self.config.eval.batch_size)
        return Bound(**found)

    def _restored(self, index: np.ndarray, seed: int | None, progress: bool) -> np.ndarray:
        """One restoration each of these images of the evaluated split, which begins again after its last."""
        data = self.experiment.load()
        images = data.split(self.config.eval.split).images
        known = to_model(take(images, index % len(images)), data.levels)
        seed = self._seed(seed)
        measurement, functions = self._require_task("sample"), self._functions()
        _, condition = observe_images(measurement.observe, known, seed, self.config.eval.batch_size, index)
        label = "sample" if progress else None
        return self.units.to_user(functions.decode(stream(seed, "sample"), condition, index, label))

    def _require_task(self, what: str) -> Measurement:
        if self.experiment.measurement is None:
            raise BadInput(
                f"{what}: a {self.experiment.title} observes nothing of an image; take a run of a conditional method"
            )
        return self.experiment.measurement

    def _condition(self, y: Any, mask: Any) -> Condition:
        """Observations and masks of a user, checked."""
        measurement = self._require_task("restore")
        shape, of_mask = condition_shapes(measurement.observe, example_shape(self.config))
        found = self.units.from_user(y, shape, "y")
        if (mask is None) != (of_mask is None):
            needs = "needs a mask" if mask is None else "has no mask; leave it out"
            raise BadInput(f"mask: the task {self.config.task.name} {needs}")
        if mask is not None and of_mask is not None:
            mask = np.asarray(mask, np.float32)
            mask = mask[..., None] if mask.shape == (len(found), *shape[:2]) else mask
            if mask.shape != (len(found), *of_mask) or not np.isin(mask, (0, 1)).all():
                raise BadInput(
                    f"mask: got an array of shape {mask.shape}, expected {(len(found), *of_mask)} of 0 and 1"
                )
            found = found * mask
        return Condition(found, mask, np.zeros(len(found), np.uint32))

    @cached_property
    def _bound(self):
        scaling = self.scaling
        measure = as_mass(self.levels) if scaling is None else as_density(scaling.log_volume(self.experiment.shape))
        return (method_bound if self.model.encode else prior_bound)(self.model, measure)

    def _require_latent(self, what: str) -> None:
        if self.experiment.final.method.encode is None:
            raise BadInput(
                f"{what}: a {self.experiment.title} has no latent codes; it can sample, and bound the likelihood of images"
            )

    def _decode_paths(self, paths: np.ndarray, seed: int | None) -> np.ndarray:
        """[n, frames, latent] -> [n, frames, H, W, C]; the frames of a path have the noise of its index."""
        n, frames = paths.shape[:2]
        index = np.repeat(np.arange(n, dtype=np.int32), frames)
        decoded = self._functions().decode(self._key(seed, "decode"), paths.reshape(n * frames, -1), index)
        return self.units.to_user(decoded).reshape(n, frames, *self.experiment.shape)

    def _batch(self, images: Any, name: str) -> np.ndarray:
        """One image or several, as a batch in [-1, 1]."""
        x = np.asarray(images)
        return self.units.from_user(x[None] if x.shape == self.experiment.shape else x, self.experiment.shape, name)

    def _single(self, found: np.ndarray, images: Any) -> np.ndarray:
        """Without the axis of the batch, where one image was given."""
        return found[0] if np.shape(images) == self.experiment.shape else found

    def _seed(self, seed: int | None) -> int:
        seed = self.config.seed if seed is None else seed
        if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
            raise BadInput(f"seed: got {seed!r}, expected a whole number from 0 to 2**32 - 1")
        return int(seed)

    def _key(self, seed: int | None, purpose: str) -> PRNGKey:
        return stream(self._seed(seed), purpose)

    def _functions(self, sampling: dict[str, Any] | None = None) -> Compiled:
        """The compiled functions for some settings of config.sampling; made once for each."""
        changes = {f"sampling.{name}": value for name, value in (sampling or {}).items() if value is not None}
        key = tuple(sorted(changes.items()))
        if key not in self._compiled:
            model = self.model
            if changes:
                experiment = build(set_fields(self.config, changes), self.workdir)
                model = trained_model(experiment, model.params)
            self._compiled[key] = compile_model(
                model, self.experiment.shape, self.experiment.latent_dim, self.config.eval.batch_size
            )
        return self._compiled[key]
