"""Checkpoints by orbax, with checksums of what was written.

orbax restores a flipped byte without an error, and takes a stray directory for the latest step. Each checkpoint therefore holds
a description (`training.description`) with the shape, type and checksum of every array. A restore checks them all. It falls
back to the newest checkpoint that is whole, and names those that it skips. The fields of the TrainState are separate items, so
that an EMA can be read without the optimiser that it was trained with.
"""

import contextlib
import shutil
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from sde_vae.errors import BadInput, NotWritten
from sde_vae.hosts.together import first, is_first, wait_to_see
from sde_vae.training import ema_files
from sde_vae.training.description import META, Damaged, Description, as_meta, describe, read_description, steps
from sde_vae.training.orbax_alone import alone, reader
from sde_vae.training.quiet_orbax import quieten
from sde_vae.training.train_state import TrainState
from sde_vae.training.workdir import EMA_FILE
from sde_vae.types import Params


class Checkpoints:
    """The checkpoints of one stage, under WORKDIR/STAGE/checkpoints/STEP. The context manager waits for the writes at its end.

    Of several processes the first writes, and all read the same. What it writes does not depend on the number of devices or processes.

    `record` is kept with each: the config that the stage is trained with, and what it stands on. Raises NotWritten if a checkpoint
    cannot be written.
    """

    def __init__(self, directory: Path, stage: str, keep: int = 3, record: dict[str, Any] | None = None):
        self.directory, self.stage, self.record = Path(directory).absolute(), stage, record
        quieten()
        self._manager: Any = None
        if not is_first():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                enable_async_checkpointing=True,
                create=False,
                multiprocessing_options=alone(),
            ),
            item_names=(*TrainState._fields, META),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        if self._manager is None:
            return
        with self._written():
            self._manager.close()

    def save(self, state: TrainState, data: dict[str, Any] | None = None) -> None:
        """Write a checkpoint in the background, with `data`, the state of the data iterator in JSON.

        The state is copied to the host first, so that the caller may continue at once.
        """
        if self._manager is None:
            return
        # On a CPU device_get returns views, and what has a view is not overwritten: a donated state would be kept twice.
        host = jax.tree.map(np.array, jax.device_get(state))
        self._require_room(sum(a.nbytes for a in jax.tree.leaves(host)))
        meta = as_meta(Description(self.stage, int(host.step), describe(host._asdict()), data, self.record))
        # orbax refuses an item without arrays: a converted prior has an EMA, and neither parameters in training nor an optimiser.
        items = {name: ocp.args.StandardSave(of) for name, of in host._asdict().items() if jax.tree.leaves(of)}
        with self._written():
            self._manager.save(int(host.step), args=ocp.args.Composite(**items, **{META: ocp.args.JsonSave(meta)}))

    def _require_room(self, size: int) -> None:
        """Raise NotWritten if the disk has no room for a checkpoint of `size` bytes."""
        free, needed = shutil.disk_usage(self.directory).free, room_for(size)
        if free < needed:
            raise NotWritten(
                f"{self.directory}: no room for a checkpoint ({free / 1e6:,.1f} MB free, {needed / 1e6:,.1f} MB needed); free some, then "
                "the same command goes on from the newest"
            )

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        """Turn whatever orbax raises of a write, now or in the background, into NotWritten."""
        try:
            yield
        except Exception as error:
            raise NotWritten(
                f"{self.directory}: a checkpoint cannot be written ({_one_line(error)}); free some room, then the same command goes "
                "on from the newest that is whole"
            ) from error

    def restore_latest(self, abstract: TrainState) -> TrainState | None:
        """Return the newest state that is whole, or None. All processes call it, and get the state that the first finds.

        Damaged checkpoints are skipped with a warning, and renamed so that their steps can be written again. Raises BadInput
        if a checkpoint is whole but belongs to another stage or another network.
        """
        found: list[TrainState] = []

        def newest() -> int | None:
            found.extend(self._newest_whole(abstract))
            return int(found[0].step) if found else None

        step = first(f"newest checkpoint of {self.stage}", newest)
        if step is not None and not found:
            path = self.directory / str(step)
            wait_to_see(path)
            found.append(TrainState(**_restore(path, self.stage, abstract._asdict())[0]))
        return found[0] if found else None

    def _newest_whole(self, abstract: TrainState) -> list[TrainState]:
        """Return the newest whole state in a list, or an empty list, as `restore_latest` does."""
        for path in _leftovers(self.directory):
            warnings.warn(f"skipping {path}: a checkpoint that was never finished", stacklevel=2)
        for step in steps(self.directory):
            path = self.directory / str(step)
            try:
                return [TrainState(**_restore(path, self.stage, abstract._asdict())[0])]
            except Damaged as error:
                aside = _aside(path)
                warnings.warn(f"skipping {path}: {error}; moved to {aside.name}", stacklevel=2)
                path.rename(aside)
                self._manager.reload()
        return []

    def data_state(self, step: int) -> dict[str, Any] | None:
        """Return the state of the data iterator that `save` wrote at this step."""
        return read_description(self.directory / str(step)).data


def room_for(size: int) -> int:
    """Return the bytes on disk of a checkpoint whose arrays have `size` bytes, with what orbax adds to them."""
    return int(1.1 * size) + 2**18


class Trained(NamedTuple):
    """The result of a trained stage: EMA parameters on the host, their step, and the state of the data iterator, or None.

    `record` is what its checkpoint keeps of the config and of what it stood on: None in one of version 0.1, and empty in a released run.
    """

    params: Params
    step: int
    data: dict[str, Any] | None
    record: dict[str, Any] | None = None


def load_ema(directory: Path, stage: str, abstract: Params, field: str) -> Trained:
    """Return the EMA of the newest whole checkpoint in `directory`; without that folder, of ema.safetensors beside it.

    Nothing on disk is changed. Raises BadInput, naming `field`, if there is none, or if it belongs to another stage or network.
    """
    if not directory.is_dir():
        file = directory.parent / EMA_FILE
        if file.is_file():
            return Trained(*ema_files.read_ema(file, stage, abstract, field), {})
        raise BadInput(f"{field}: expected checkpoints of the stage {stage!r} in {directory}, found no such folder")
    for step in steps(directory):
        try:
            wanted = {"ema_params": abstract, "step": jax.ShapeDtypeStruct((), np.int32)}
            items, found = _restore(directory / str(step), stage, wanted)
            return Trained(items["ema_params"], step, found.data, found.record)
        except Damaged as error:
            warnings.warn(f"skipping {directory / str(step)}: {error}", stacklevel=2)
    found = ", ".join(sorted(p.name for p in directory.iterdir())) or "nothing"
    raise BadInput(f"{field}: expected a whole checkpoint of the stage {stage!r} in {directory}, found {found}")


def _restore(path: Path, stage: str, abstract: dict[str, Any]) -> tuple[dict[str, Any], Description]:
    """Return the items named in `abstract`, "step" among them, checked, and the description.

    Raises Damaged, also for a copy under another step's name, or BadInput for a checkpoint of another stage or network.
    """
    found = read_description(path)
    if found.stage != stage:
        raise BadInput(f"{path}: expected a checkpoint of the stage {stage!r}, found one of {found.stage!r}")
    _check_shapes(path, abstract, found.leaves)
    # Without a sharding, orbax restores an array to the device that it was saved from, here the host.
    host = jax.tree.map(lambda a: np.empty(a.shape, a.dtype), abstract)
    items = _read(path, {name: ocp.args.StandardRestore(value) for name, value in host.items()})
    for name, leaf in describe(items).items():
        if leaf["crc32"] != found.leaves[name]["crc32"]:
            raise Damaged(f"the checksum of {name} is wrong")
    if int(items["step"]) != int(path.name) or found.step not in (None, int(path.name)):
        raise Damaged(f"it is of step {int(items['step'])}, under the name of another")
    return items, found


def _read(path: Path, args: dict[str, Any]) -> dict[str, Any]:
    try:
        with reader() as of_items:
            return dict(of_items.restore(path.absolute(), args=ocp.args.Composite(**args)).items())
    # orbax passes on any error of its readers (ValueError, FileNotFoundError, XlaRuntimeError, bare Exception).
    except Exception as error:
        raise Damaged(f"it can't be read ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def _check_shapes(path: Path, abstract: dict[str, Any], found: dict[str, dict[str, Any]]) -> None:
    """Raise BadInput unless the checkpoint holds exactly the arrays of the items in `abstract`."""
    expected = {
        jax.tree_util.keystr(p): (list(a.shape), str(np.dtype(a.dtype)))
        for p, a in jax.tree_util.tree_leaves_with_path(abstract)
    }
    items = tuple(f"[{name!r}]" for name in abstract)
    got = {name: (leaf["shape"], leaf["dtype"]) for name, leaf in found.items() if name.startswith(items)}
    wrong = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
    if wrong:
        name = wrong[0]
        raise BadInput(
            f"{path}: a checkpoint of another network: expected {name} to be {_show(expected.get(name))}, "
            f"found {_show(got.get(name))} ({len(wrong)} arrays differ); use the config that it was trained with"
        )


def _show(leaf: tuple[list[int], str] | None) -> str:
    return "absent" if leaf is None else f"{leaf[1]}{leaf[0]}"


def _leftovers(directory: Path) -> Iterable[Path]:
    return sorted(directory.glob("*.orbax-checkpoint-tmp*"))


def _aside(path: Path) -> Path:
    """Return an unused name beside `path`."""
    n = 0
    while (aside := path.with_name(f"{path.name}.damaged{n or ''}")).exists():
        n += 1
    return aside
