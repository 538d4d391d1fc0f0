"""What the command line writes of a trained run: codes, reconstructions and samples, as files."""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image
from tqdm import tqdm

from sde_vae.build.data import data_options
from sde_vae.data.dataset import take, to_model
from sde_vae.data.datasets.arrays import read_examples
from sde_vae.data.datasets.folder import read_pictures
from sde_vae.errors import BadInput
from sde_vae.files import require_writable, write_arrays, written
from sde_vae.inference.resume_cache import ResumeCache
from sde_vae.reporting import plots
from sde_vae.run import Run
from sde_vae.training import workdir as workdirs
from sde_vae.training.description import describe

# Images of a grid that shows what was sampled or reconstructed.
SHOWN = 64
# Batches that are sampled before they are kept.
BATCHES = 8
# Endings of files that are no images and no .npz: one of them is a mistake.
ARRAYS = (".npy", ".png", ".jpg", ".jpeg", ".zip", ".pt", ".pkl")


class Named(NamedTuple):
    """Images [n, H, W, C], uint8 or floats in [0, 1], or arrays [n, *shape] in their units; and a file name for each, with "/" between folders."""

    names: list[str]
    images: np.ndarray


def read_input(run: Run, source: str) -> Named:
    """Return the images of a folder or zip, prepared as config.data says, or those of a split of the run's data.

    Of a run on arrays `source` is a file of them. Raises BadInput if it is neither, or for what cannot be read.
    """
    path = Path(source).expanduser()
    if path.exists() and run.scaling is not None:
        found = read_examples(path, run.experiment.shape)
        return Named(numbered(path.stem, len(found)), found)
    if path.exists():
        return Named(*read_pictures(path, data_options(run.config)))
    data = run.experiment.load()
    if source not in data.splits:
        raise BadInput(
            f"--input: got {source!r}, expected {'a folder or zip' if run.scaling is None else 'a file of arrays'} that exists, or a split of {data.name}: {', '.join(data.splits)}"
        )
    images = data.split(source).images
    found = run.units.to_user(to_model(take(images, np.arange(len(images))), data.levels))
    return Named(numbered(source, len(images)), found)


def numbered(name: str, n: int) -> list[str]:
    """Return n names, NAME_0 and so on, with as many digits each.

    >>> numbered("test", 2)
    ['test_0', 'test_1']
    """
    digits = len(str(n - 1))
    return [f"{name}_{i:0{digits}d}" for i in range(n)]


def encode_to(run: Run, source: str, path: Path) -> None:
    """Write mean and log_var [n, latent_dim] and names [n] of the images to a .npz."""
    if path.suffix != ".npz":
        raise BadInput(f"--output: got {path}, expected a file that ends in .npz")
    refuse_existing(path)
    names, images = read_input(run, source)
    q = run.encode(images, progress=True)
    write_arrays(path, mean=q.mean, log_var=q.log_var, names=np.asarray(names))
    print(f"codes     {path}: mean and log_var {list(q.mean.shape)}, names of {len(names)} images")


def reconstruct_to(run: Run, source: str, out: Path) -> None:
    """Write the reconstruction of each image to `out`: a folder of PNG files of the same names, or a .npz; of arrays a .npz."""
    require_npz_of_arrays(run, out)
    refuse_existing(out)
    names, images = read_input(run, source)
    image_files(out, names)
    write_images(out, run.units.to_file(run.reconstruct(images, progress=True)), names)


def sample_to(
    run: Run, n: int, seed: int | None, out: Path, label: int | None = None, guidance: float | None = None
) -> None:
    """Write n new images, of the class `label` if given, to `out`: a folder of PNG files, or a .npz; arrays to a .npz.

    Sampling that was stopped goes on where it was.
    """
    require_npz_of_arrays(run, out)
    refuse_existing(out)
    config = workdirs.flatten(run.config.to_dict())
    of_class = {} if label is None and guidance is None else {"label": label, "guidance": guidance}
    key = {
        **of_class,
        "n": n,
        "seed": seed,
        "config": config,
        "trained": describe(run.trained.params),
        "frozen": describe(run.frozen),
    }
    cache = ResumeCache(out.with_name(f"{out.name}.part"), key)
    size = BATCHES * run.config.eval.batch_size * len(jax.local_devices())
    chunks = []
    for start in tqdm(range(0, n, size), desc=f"sample {n} images", unit="chunk"):
        rows = range(start, min(start + size, n))
        make = lambda rows=rows: run.units.to_file(run.sample(len(rows), seed, start=rows.start, **of_class))
        chunks.append(cache.array("samples", rows, make))
    digits = len(str(n - 1))
    write_images(out, np.concatenate(chunks), [f"{i:0{digits}d}" for i in range(n)])
    cache.discard()


def image_files(out: Path, names: list[str]) -> list[Path]:
    """Return the PNG file of each image in the folder `out`. Raises BadInput if two images would have the same."""
    files = [out / Path(name).with_suffix(".png") for name in names]
    if out.suffix != ".npz" and len(set(files)) < len(files):
        raise BadInput(f"--output: several images would have the same name in {out}; give a file that ends in .npz")
    return files


def write_images(out: Path, images: np.ndarray, names: list[str]) -> None:
    """Write images or arrays [n, ...] to OUT.npz as the array `images` or `examples` (and `names`); or uint8 images each to OUT/NAME.png."""
    if out.suffix == ".npz":
        kind = "images" if images.dtype == np.uint8 else "examples"
        write_arrays(out, **{kind: images, "names": np.asarray(names)})
        print(f"{kind:<9} {out}: {images.dtype} {list(images.shape)}")
        return
    files = write_pictures(image_files(out, names), images)
    plots.grid(images[:SHOWN] / np.float32(255), grid_of(out))
    print(f"images    {out}: {files} PNG files; the first of them in {grid_of(out)}")


def write_pictures(files: list[Path], images: np.ndarray) -> int:
    """Write uint8 images [n, H, W, C], each to its PNG file, and return their number."""
    for file, image in zip(tqdm(files, desc="write", unit="image"), images, strict=True):
        with written(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file)
    return len(files)


def require_npz_of_arrays(run: Run, out: Path) -> None:
    """Raise BadInput if arrays that are no images would be written to anything but a .npz."""
    if run.scaling is not None and out.suffix != ".npz":
        raise BadInput(f"--output: got {out}, but these data are no pictures; give a file that ends in .npz")


def default_output(run: Run, name: str) -> Path:
    """Return the place for what is written without --output: a folder of pictures, or a .npz of arrays, that does not exist yet."""
    return free_name(run.results / (name if run.scaling is None else f"{name}.npz"))


def free_name(path: Path) -> Path:
    """Return `path`, or PATH_2, PATH_3, ... where there is something already."""
    n = 1
    free = path
    while is_taken(free) or is_taken(grid_of(free)):
        n += 1
        free = path.with_name(f"{path.stem}_{n}{path.suffix}")
    return free


def refuse_existing(path: Path) -> None:
    """Raise BadInput if there is a file, or a folder that is not empty, where the output or the grid beside it would go.

    Raises it also if nothing can be written there: before the work, not after it.
    """
    if path.suffix.lower() in ARRAYS or (path.suffix != ".npz" and path.suffix.lower() == ".npz"):
        raise BadInput(f"--output: got {path}, expected a folder, or a file that ends in .npz")
    taken = [p for p in (path, *([] if path.suffix == ".npz" else [grid_of(path)])) if is_taken(p)]
    if taken:
        raise BadInput(f"--output: {taken[0]} exists and is not overwritten; remove it, or give another --output")
    require_writable(path.parent, "--output")


def is_taken(path: Path) -> bool:
    """Return whether `path` is a file, or a folder that is not empty."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def grid_of(folder: Path) -> Path:
    """Return the picture beside a folder of images that shows the first of them: FOLDER.png."""
    return folder.with_name(f"{folder.name}.png")
