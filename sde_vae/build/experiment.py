"""ConfigDict -> Experiment: everything that a run needs."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from sde_vae.build.config import checked, set_fields
from sde_vae.build.data import build_loader, data_shape
from sde_vae.build.fields import (
    ARRAYS,
    EVALUATORS,
    HAS_LATENT,
    HAS_PRIOR,
    HAS_TASK,
    NEED_EITHER,
    NEED_LABELS,
    NEED_LATENT,
    NEED_PRIOR,
    NEED_SCORE,
    NEED_TASK,
    OF_ARRAYS,
    ONLY_OF_ARRAYS,
    PAIRS,
    TRAINS_LATENT,
)
from sde_vae.build.methods import build_method, build_prior
from sde_vae.build.nets import EXACT, Shape
from sde_vae.build.pretrained_prior import build_parts, pretrained_spec
from sde_vae.build.preview import build_preview
from sde_vae.build.sampling import build_decoder, build_inverter
from sde_vae.build.sdes import build_sde
from sde_vae.build.stages import MakeStage, build_latent_stage, build_stage
from sde_vae.build.tasks import build_measurement
from sde_vae.data.dataset import Dataset
from sde_vae.diffusion.sdes import SDE
from sde_vae.errors import BadInput
from sde_vae.inference.decoding import Decoder
from sde_vae.methods.method import Method
from sde_vae.methods.observation import Measurement
from sde_vae.pretrained.parts import Parts
from sde_vae.pretrained.spec import PriorSpec
from sde_vae.training.stage import Stage

NOT_ONLY_OF_ARRAYS = tuple(name for name in EVALUATORS if name not in ONLY_OF_ARRAYS)


class Experiment(NamedTuple):
    """A run, built: building it reads no data and allocates no arrays.

    `title` is what plots and tables call the method. `stages` are those to train, in order. `final` is the one that is evaluated: it is not
    among them if it is a prior that another run or a pre-trained model replaces. `latent` trains a prior of its latent codes, if any stage does. `exact` is the method of `final` with all networks in float32, where
    config.model.dtype or config.model.precision is another: bounds and likelihoods are of it. `prior` is the unconditional model, which may come from another
    run; for a method without one, it is the model whose samples a stage trains on, or None. `pretrained` describes the prior where it is a
    pre-trained model. `measurement` is what a conditional method observes of an image. load() reads the data set.
    """

    title: str
    shape: Shape
    latent_dim: int
    stages: tuple[Stage, ...]
    final: Stage
    latent: Stage | None
    prior: Method | None
    load: Callable[[], Dataset]
    decoder: Decoder
    inverter: Decoder
    prior_below: float | None
    exact: Method | None = None
    pretrained: PriorSpec | None = None
    measurement: Measurement | None = None


def build(config: ConfigDict, directory: Path | None = None) -> Experiment:
    """Build what the config describes, for the run in `directory`, which may have converted a pre-trained prior.

    Raises BadInput that names the field, the value and what is allowed. Of a pre-trained prior that is not converted yet, its description
    is read.
    """
    config = checked(config)
    shape = data_shape(config)
    spec = pretrained_spec(config, directory) if HAS_PRIOR.holds(config) else None
    pretrained = build_parts(config, spec, shape) if spec else None
    sde = pretrained.sde if pretrained else build_sde(config.sde)
    # Read once, however often it is asked for.
    load = cache(build_loader(config))
    measurement = build_measurement(config, shape)

    def make_stage(name: str, method: Method, depends_on: tuple[str, ...] = ()) -> Stage:
        # Pictures in TensorBoard are of pictures.
        preview = None if config.data.name == ARRAYS else build_preview(config, sde, shape, method, load, measurement)
        return build_stage(config, load, name, method, depends_on, preview=preview)

    if config.data.name == ARRAYS and config.synthetic.n:
        raise BadInput(f"config.synthetic.n: got {config.synthetic.n}, expected 0: synthetic examples are images")
    title, prior, trained = build_method(config, sde, shape, make_stage, pretrained)
    final = trained[-1]
    latent = build_latent_stage(config, sde, final, load) if TRAINS_LATENT.holds(config) else None
    _check_prior_below(config, title, final.method)
    _check_evaluators(config, title, final.method)
    return Experiment(
        title=title,
        shape=shape,
        latent_dim=config.model.latent_dim if HAS_LATENT.holds(config) else 0,
        stages=(*(stage for stage in trained if stage.steps), *([latent] if latent else [])),
        final=final,
        latent=latent,
        prior=prior or _synthetic_prior(config, sde, shape, title, pretrained),
        load=load,
        decoder=build_decoder(config, sde),
        inverter=build_inverter(config, sde),
        prior_below=config.sampling.prior_below,
        exact=_in_float32(config, spec, sde, shape, make_stage),
        pretrained=spec,
        measurement=measurement,
    )


def _in_float32(
    config: ConfigDict, spec: PriorSpec | None, sde: SDE, shape: Shape, make_stage: MakeStage
) -> Method | None:
    """The method of the final stage in float32, products included; None if that is what the config has."""
    if (config.model.dtype, config.model.precision) == tuple(EXACT.values()):
        return None
    exact = set_fields(config, EXACT)
    pretrained = build_parts(exact, spec, shape) if spec else None
    _, _, stages = build_method(exact, sde, shape, make_stage, pretrained)
    return stages[-1].method


def _synthetic_prior(config: ConfigDict, sde: SDE, shape: Shape, title: str, pretrained: Parts | None) -> Method | None:
    """The prior of another run, on whose samples a method without one trains."""
    if not (HAS_LATENT.holds(config) and config.synthetic.n):
        return None
    if not config.prior.checkpoint:
        raise BadInput(
            f"config.synthetic.n: got {config.synthetic.n}, but {title} has no prior to sample images from; name another run's in "
            "config.prior.checkpoint, or set config.synthetic.n=0"
        )
    return build_prior(config, sde, shape, pretrained)


def _check_prior_below(config: ConfigDict, title: str, method: Method) -> None:
    log_snr = config.sampling.prior_below
    if log_snr is not None and method.unconditional is None:
        raise BadInput(
            f"config.sampling.prior_below: got {log_snr}, expected None: {title} has no prior to decode with"
        )


def _check_evaluators(config: ConfigDict, title: str, method: Method) -> None:
    """Raise BadInput for an evaluator that has nothing to evaluate in this method, or in data of this kind."""
    kinds = {ARRAYS: (OF_ARRAYS, "arrays"), PAIRS: (NEED_TASK, "pairs")}
    known, what = kinds.get(config.data.name, (NOT_ONLY_OF_ARRAYS, "images"))
    if other := [name for name in config.eval.evaluators if name not in known]:
        raise BadInput(
            f"config.eval.evaluators: got {other[0]}, which is not defined for {what}; for these there are {', '.join(known)}"
        )
    observes = HAS_TASK.holds(config) or None
    for needed, names, what in (
        (method.encode, NEED_LATENT, "has no latent codes"),
        (method.encode or method.unconditional, NEED_EITHER, "has neither latent codes nor an unconditional prior"),
        (observes, NEED_TASK, "observes nothing of an image to restore"),
        (method.score, NEED_SCORE, "decodes in one pass, without a score"),
        (method.unconditional, NEED_PRIOR, "has no unconditional prior"),
        (method.labelled, NEED_LABELS, "was trained without labels (config.labels.attribute)"),
    ):
        if needed is None and (asked := [name for name in config.eval.evaluators if name in names]):
            raise BadInput(
                f"config.eval.evaluators: got {', '.join(asked)}, but {title} {what}; leave {'them' if len(asked) > 1 else 'it'} out"
            )
