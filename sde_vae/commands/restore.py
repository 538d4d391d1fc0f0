"""What the command line writes of a conditional run: restorations of the user's own observations, as files."""

from pathlib import Path, PurePosixPath

import numpy as np

from sde_vae.build.data import data_options, example_shape
from sde_vae.build.tasks import condition_shapes
from sde_vae.commands.export import grid_of, image_files, read_input, refuse_existing, write_pictures
from sde_vae.data.dataset import to_model, to_unit
from sde_vae.data.datasets.observed_pictures import read_masks, read_observations
from sde_vae.errors import BadInput
from sde_vae.evaluators.restoration import at_image_size
from sde_vae.files import write_arrays
from sde_vae.methods.observation import Measurement
from sde_vae.reporting import plots
from sde_vae.run import Run
from sde_vae.types import Condition

# Observations, and draws of each, that the picture beside the files shows.
SHOWN, DRAWN = 8, 8


def restore_to(run: Run, source: str, mask: str | None, n: int, seed: int | None, out: Path) -> None:
    """Write n draws of x given each observation to `out`: a folder of PNG files NAME_1.png to NAME_n.png, or a .npz.

    `source` is a folder or zip of observations y, or a split of the run's data, which is observed first. `mask` has the holes of
    inpainting. The picture OUT.png beside a folder shows y, the draws and their mean.
    """
    measurement = run.experiment.measurement
    if measurement is None:
        raise BadInput(
            f"--mode restore: a {run.experiment.title} observes nothing of an image; take a run of a conditional method"
        )
    if run.scaling is not None:
        raise BadInput("--mode restore: these data are no pictures; call sde_vae.load(WORKDIR).restore from Python")
    refuse_existing(out)
    names, condition = _observations(run, measurement, source, mask, seed)
    draws = [f"{PurePosixPath(name).with_suffix('')}_{k + 1}.png" for name in names for k in range(n)]
    files = image_files(out, draws)
    found = run.units.to_file(run.restore(condition, n, seed=seed, progress=True))
    if out.suffix == ".npz":
        observed = {"observed": run.units.to_file(to_unit(condition.y))}
        observed |= {} if condition.mask is None else {"mask": condition.mask.astype(np.uint8)}
        write_arrays(out, images=found, names=np.asarray(names), **observed)
        print(f"images    {out}: {found.dtype} {list(found.shape)}")
        return
    write_pictures(files, found.reshape(-1, *found.shape[2:]))
    _plot(measurement, condition, found / np.float32(255), grid_of(out))
    print(f"images    {out}: {len(files)} PNG files; the first of them, y and their mean in {grid_of(out)}")


def _observations(
    run: Run, measurement: Measurement, source: str, mask: str | None, seed: int | None
) -> tuple[list[str], Condition]:
    """The names of the observations, and what is observed."""
    path, masks = Path(source).expanduser(), None if mask is None else Path(mask).expanduser()
    if not path.exists():
        names, images = read_input(run, source)
        if mask is not None:
            raise BadInput(
                f"--mask: got {mask}, but images of the split {source} are observed with masks of their own; leave it out"
            )
        return names, run.observe(images, seed)
    (height, width, channels), of_mask = condition_shapes(measurement.observe, example_shape(run.config))
    name, options = run.config.task.name, data_options(run.config)
    if (mask is None) != (of_mask is None):
        expected = (
            "needs --mask, white where a picture is to be filled in" if mask is None else "has none; leave it out"
        )
        raise BadInput(f"--mask: {'not given' if mask is None else f'got {mask}'}, but the task {name} {expected}")
    # What is observed of a cropped image is not cropped again; y of a pair is. Drawings and grey pictures are often stored in colour.
    options = options._replace(
        image_size=(height, width),
        channels=channels,
        crop=0 if measurement.operator.known else options.crop,
        to_grey=options.to_grey or channels < run.experiment.shape[-1],
    )
    exact = "" if (height, width) == run.experiment.shape[:2] else f"the size that the task {name} makes"
    if masks is not None and not masks.exists():
        raise BadInput(f"--mask: {mask} does not exist; expected a picture, or a folder or zip of pictures")
    names, images = read_observations(path, options, exact)
    y, seeds = to_model(images, 256), np.zeros(len(images), np.uint32)
    if masks is None:
        return names, Condition(y, None, seeds)
    seen = read_masks(masks, path, names, options)
    return names, Condition(y * seen, seen, seeds)


def _plot(measurement: Measurement, condition: Condition, draws: np.ndarray, path: Path) -> None:
    """Show y, the draws [n, draws, H, W, C] on [0, 1] and their mean, a row each."""
    few, each = draws[:SHOWN], range(min(DRAWN, draws.shape[1]))
    rows = {"observed": to_unit(at_image_size(measurement, condition, draws[:, 0]))}
    rows |= {f"draw {k + 1}": few[:, k] for k in each}
    rows |= {"mean of the draws": few.mean(axis=1)} if draws.shape[1] > 1 else {}
    plots.rows({name: images[:SHOWN] for name, images in rows.items()}, path)
