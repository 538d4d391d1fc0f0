"""Find a data set of tensorflow-datasets in the format array_record, check its files, and give the command that prepares it."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from array_record.python.array_record_module import ArrayRecordReader

from sde_vae.errors import BadInput, install_command, shortened

FORMAT = "array_record"


def prepared(root: Path, name: str) -> Path:
    """Return the folder of the one version of `name` below `root`, or root itself. Raises BadInput for none or several."""
    infos = [root / "dataset_info.json", *sorted((root / name).rglob("dataset_info.json"))]
    found = [p.parent for p in infos if p.is_file() and "incomplete." not in p.parent.name]
    if not found:
        raise BadInput(f"config.data.dir: {root} has no {name}/ as {FORMAT}; to make it: {command(name, root)}")
    if len(found) > 1:
        versions = ", ".join(str(p) for p in found)
        raise BadInput(f"config.data.dir: {root} has several versions of {name}: give one of {versions}")
    info = found[0] / "dataset_info.json"
    with tfds_errors(info, found[0], name):
        kind = json.loads(info.read_text()).get("fileFormat", "tfrecord")
    if kind != FORMAT:
        other = root / FORMAT  # the library refuses to prepare a second format where there is one
        raise BadInput(
            f"config.data.dir: {found[0]} holds {name} as {kind}, which needs TensorFlow to read; expected {FORMAT}; "
            f"to make it: {command(name, other)}, and set config.data.dir to {other}"
        )
    return found[0]


@contextlib.contextmanager
def tfds_errors(what: Path | str, path: Path, name: str) -> Iterator[None]:
    """Turn any error into BadInput with the message that `what` is damaged: the library has no error type for damaged files."""
    try:
        yield
    except Exception as error:
        why = shortened(" ".join(str(error).split()))
        home = next((p.parent for p in path.parents if p.name == name.split("/")[0]), path.parent)
        raise BadInput(f"{what}: damaged ({why}); delete {path} and prepare it anew: {command(name, home)}") from None


def check_shards(split: Any, path: Path, name: str) -> None:
    """Raise BadInput unless every file of a split is complete and has the number of records that the split declares."""
    with tfds_errors(path, path, name):
        shards = list(zip(map(str, split.filepaths), split.shard_lengths, strict=True))
    for file, n in shards:
        with tfds_errors(file, path, name):
            reader = ArrayRecordReader(file)
            found = reader.num_records() if reader.ok() else 0
            if found != n:
                raise ValueError(f"{found} of {n} records can be found")


def command(name: str, folder: Path | str) -> str:
    """Return the shell command that prepares the data set `name` in `folder`."""
    call = f"tfds.builder('{name}', data_dir='{folder}', file_format='{FORMAT}').download_and_prepare()"
    return f'{install_command("tfds", "tensorflow")} && python -c "import tensorflow_datasets as tfds; {call}"'
