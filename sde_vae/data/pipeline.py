"""The batches of a training run, with grain.

Step s takes the s-th batch of an order that is shuffled anew every epoch. The order depends on the seed only. It does not depend
on the number of worker processes or of hosts, or on the step at which a run was stopped. The state of the iterator is therefore
the number of batches drawn, with the settings under which that number has the same meaning.
"""

import contextlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from absl import flags

from sde_vae.data.dataset import Images, fingerprint, to_model
from sde_vae.errors import BadInput
from sde_vae.types import Batch

if TYPE_CHECKING:
    import grain


class Pipeline(NamedTuple):
    """The training images, and how they are read.

    batch_size   the global batch size; process number `process` of `processes` reads its part of every batch
    workers      processes that read ahead; 0 reads ahead with threads, which is enough for decoded images
    synthetic    further images, which have epochs of their own; or None
    share        the share of synthetic images among the images read; None without them
    labels       the classes of the images, int32 [n], which their batches then have; or None
    """

    images: Images
    levels: int
    batch_size: int
    seed: int
    workers: int = 0
    process: int = 0
    processes: int = 1
    synthetic: Images | None = None
    share: float | None = None
    labels: np.ndarray | None = None

    def batches(self, start: int, stop: int) -> Generator[Batch]:
        """Yield this process's part of the batches of steps start .. stop - 1, with x on [-1, 1]."""
        # Imported late: inference reads no batches.
        import grain

        size, levels = self.batch_size // self.processes, self.levels
        order = self._shuffled(self.images if self.labels is None else Labelled(self.images, self.labels))
        if self.synthetic is not None:
            if self.share is None or self.labels is not None:
                raise ValueError("synthetic images need a share, and have no labels")
            order = grain.MapDataset.mix([order, self._shuffled(self.synthetic)], [1 - self.share, self.share])
        own = order.batch(size)[self.process :: self.processes][start:stop]
        labelled = self.labels is not None
        in_model = lambda rows: (to_model(rows[0], levels), rows[1]) if labelled else to_model(rows, levels)
        ahead = own.map(in_model).to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=16))
        if self.workers:
            # grain reads absl's flags, which are not parsed in a notebook.
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            ahead = ahead.mp_prefetch(grain.MultiprocessingOptions(num_workers=self.workers), end_with_parent)
        index = np.arange(self.process * size, (self.process + 1) * size, dtype=np.int32)
        with contextlib.closing(iter(ahead)) as reader:
            for rows in reader:
                x, label = rows if labelled else (rows, None)
                yield Batch(x, index, label=label)

    def _shuffled(self, images: "Images | Labelled") -> "grain.MapDataset":
        import grain

        # grain's types allow no images that are indexed by position only, as arrays are.
        return grain.MapDataset.source(cast(Any, images)).seed(self.seed).shuffle().repeat()

    def state(self, step: int) -> dict[str, Any]:
        """Return the state of the iterator after `step` batches, for a checkpoint."""
        return {
            "next_batch": step,
            **identity_of(self.images),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "drawn": None if self.synthetic is None else fingerprint(self.synthetic),
            "share": self.share,
            "labels": None if self.labels is None else fingerprint(self.labels),
        }

    def check(self, state: dict[str, Any], where: str) -> None:
        """Raise BadInput, naming `where` the state was found, if the batches after it would differ from those of that run."""
        _check(state, self.state(state.get("next_batch", 0)), where)


class Labelled:
    """Images with their classes: a sequence of pairs."""

    def __init__(self, images: Images, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.int32]:
        return self.images[i], self.labels[i]


def end_with_parent(worker: int, workers: int) -> None:
    """End this worker process when its parent ends, however that ends. The last process removes the shared memory of all."""
    del worker, workers
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def identity_of(images: Images) -> dict[str, Any]:
    """Return the number of images and their fingerprint."""
    return {"images": len(images), "fingerprint": fingerprint(images)}


def check_images(state: dict[str, Any] | None, images: Images, where: str) -> None:
    """Raise BadInput if the checkpoint `where`, with this state of the data, was trained on other images."""
    if state is not None:
        _check(state, identity_of(images), where)


def _check(before: dict[str, Any], now: dict[str, Any], where: str) -> None:
    for name, value in now.items():
        if before.get(name) != value:
            raise BadInput(
                f"{where}: it was trained on other data ({name} was {before.get(name)}, is {value}); "
                "give the data that it was trained on, or another --workdir"
            )


def prefetch(batches: Generator[Batch], place: Callable[[Batch], Batch], ahead: int = 2) -> Generator[Batch]:
    """Yield the batches, placed on the devices `ahead` steps early, so that copying overlaps with computing."""
    placed: deque[Batch] = deque()
    with contextlib.closing(batches):
        for batch in batches:
            placed.append(place(batch))
            if len(placed) > ahead:
                yield placed.popleft()
        yield from placed
