"""Image data sets of tensorflow-datasets in the format array_record, read without TensorFlow.

Nothing is downloaded or prepared. If the folder does not exist, the error gives the command that makes it.
"""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from sde_vae.data.cache.record_cache import Cache, Picture, Skipped, cached
from sde_vae.data.dataset import DataOptions, Dataset, Split
from sde_vae.data.datasets.folder import require_path
from sde_vae.data.datasets.tfds_features import check_features, check_inside
from sde_vae.data.datasets.tfds_folder import FORMAT, check_shards, command, prepared, tfds_errors
from sde_vae.data.io.archive import fingerprint
from sde_vae.data.io.changes import change_notes
from sde_vae.data.io.decode import pictures, preparation
from sde_vae.errors import BadInput, install_command, shortened

SPLITS = {"train": "train", "validation": "valid", "test": "test"}
Features = dict[tuple[str, ...], Any]  # path of a feature in an example -> the feature


def tfds(name: str) -> Callable[[DataOptions], Dataset]:
    """Return the loader of a data set of tensorflow-datasets, such as "cifar10" or "celeb_a"; a config or version follows a "/".

    The data set has one uint8 image in each example. Scalar integers and truth values, such as labels, become attributes, int64.
    The loader raises BadInput, with the command that prepares the data, if they are missing, damaged or of another data set. A
    single damaged record counts as a corrupt picture.
    """

    def load(options: DataOptions) -> Dataset:
        root = require_path(options.dir, f"a folder with {name} as {FORMAT}; to make one: {command(name, 'DIR')}")
        library = _library()
        path = prepared(root, name)
        check_features(path, name)  # before the library reads them
        with tfds_errors(path, path, name):
            builder = library.builder_from_directory(str(path))
            features = dict(_flat(builder.info.features))
            found = {split: builder.info.splits[split] for split in builder.info.splits}
        if builder.name != name.split("/")[0]:
            raise BadInput(
                f"config.data.dir: {path} holds {builder.name}, expected {name}; to make that: {command(name, 'DIR')}"
            )
        if "train" not in found:
            raise BadInput(f"{path}: has no split train; it has {', '.join(found) or 'none'}")
        wanted = {theirs: ours for theirs, ours in SPLITS.items() if theirs in found}
        for theirs in wanted:
            with tfds_errors(path, path, name):
                files = list(map(str, found[theirs].filepaths))
            check_inside(files, path)
            check_shards(found[theirs], path, name)
        caches = {
            ours: _cache(library, builder, features, theirs, path, name, options) for theirs, ours in wanted.items()
        }
        skipped = tuple(line for cache in caches.values() for line in cache.skipped)
        splits = {split: Split(cache.images, cache.attributes) for split, cache in caches.items()}
        notes = [
            note
            for split, cache in caches.items()
            for note in change_notes(f"{name} {split}", cache.changes, len(cache.images) + len(cache.skipped))
        ]
        columns = tuple(p[-1] for p in _scalars(features))
        return Dataset(name, splits, attributes=columns, skipped=skipped, notes=tuple(notes))

    return load


def _cache(
    library: ModuleType, builder: Any, features: Features, split: str, path: Path, name: str, options: DataOptions
) -> Cache:
    image, scalars = _image(path, features), _scalars(features)
    n = builder.info.splits[split].num_examples

    def make() -> Iterator[Picture | Skipped]:
        raw = library.decode.SkipDecoding()  # the bytes, which are decoded as in the other data sets
        with tfds_errors(path, path, name):
            source = builder.as_data_source(split, decoders=_nested(image, raw))
        rows = np.zeros((n, len(scalars)), np.int64) if scalars else None

        def read(i: int) -> bytes:
            with tfds_errors(f"{path} {split} {i}", path, name):
                example = source[i]
                if rows is not None:  # filled before image i is yielded, in one pass over the records
                    rows[i] = [_at(example, p) for p in scalars]
                return _at(example, image)

        return pictures([f"{path} {split} {i}" for i in range(n)], read, options, rows, alike=False)

    key = {"name": f"{builder.name}-{split}", "path": str(path.resolve()), "files": fingerprint(path)}
    return cached(options.cache, {**key, **preparation(options)}, n, make)


def _library() -> ModuleType:
    try:
        return importlib.import_module("tensorflow_datasets")  # slow, and optional
    except ImportError as error:
        raise BadInput(
            f"config.data.name: needs tensorflow-datasets ({shortened(str(error))}); run: {install_command('tfds')}"
        ) from None


def _flat(features: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (path, feature). A list of features counts as one feature."""
    for name, feature in sorted(features.items()):
        if type(feature).__name__ == "FeaturesDict":
            yield from _flat(feature, (*path, name))
        else:
            yield (*path, name), feature


def _image(path: Path, features: Features) -> tuple[str, ...]:
    images = [p for p, f in features.items() if type(f).__name__ == "Image" and np.dtype(f.np_dtype) == np.uint8]
    if len(images) != 1:
        raise BadInput(f"{path}: expected one uint8 image per example, found {len(images)}")
    return images[0]


def _scalars(features: Features) -> list[tuple[str, ...]]:
    return [p for p, f in features.items() if f.shape == () and np.dtype(f.np_dtype).kind in "biu"]


def _nested(path: tuple[str, ...], leaf: Any) -> dict[str, Any]:
    return {path[0]: _nested(path[1:], leaf) if len(path) > 1 else leaf}


def _at(example: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        example = example[name]
    return example
