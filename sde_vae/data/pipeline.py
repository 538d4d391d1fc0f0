"""From a data set to the batches of a training run, with grain.

Step s sees the s-th batch of an order that is shuffled anew every epoch and depends on the seed alone: not on the number of
worker processes, nor on how many hosts share a batch, nor on where a run was stopped. So the iterator's state is the number of
batches drawn, together with what must not have changed for that number to mean the same.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import grain
import numpy as np
from absl import flags

from sde_vae.data.dataset import Images, fingerprint, to_model
from sde_vae.errors import BadInput
from sde_vae.types import Batch


class Pipeline(NamedTuple):
    """`batch_size` is the global one; this process, number `process` of `processes`, reads its own part of every batch.

    workers: processes that read ahead; 0 reads ahead with threads of this one, which is enough for decoded images.
    synthetic: more images, which are `share` of what is read, in epochs of their own; without any, both are None.
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

    def batches(self, start: int, stop: int) -> Generator[Batch]:
        """This process's part of the batches of the steps start .. stop - 1, x in [-1, 1]."""
        size, levels = self.batch_size // self.processes, self.levels
        order = self._shuffled(self.images)
        if self.synthetic is not None:
            order = grain.MapDataset.mix([order, self._shuffled(self.synthetic)], [1 - self.share, self.share])
        own = order.batch(size)[self.process :: self.processes][start:stop]
        ahead = own.map(lambda images: to_model(images, levels)).to_iter_dataset(
            grain.ReadOptions(num_threads=2, prefetch_buffer_size=16)
        )
        if self.workers:
            # grain asks absl's flags, which no one has parsed in a notebook.
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            ahead = ahead.mp_prefetch(grain.MultiprocessingOptions(num_workers=self.workers))
        index = np.arange(self.process * size, (self.process + 1) * size, dtype=np.int32)
        with contextlib.closing(iter(ahead)) as reader:
            for x in reader:
                yield Batch(x, index)

    def _shuffled(self, images: Images) -> grain.MapDataset:
        return grain.MapDataset.source(images).seed(self.seed).shuffle().repeat()

    def state(self, step: int) -> dict[str, Any]:
        """What a checkpoint says of the iterator after `step` batches."""
        return {
            "next_batch": step,
            **identity_of(self.images),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "drawn": None if self.synthetic is None else fingerprint(self.synthetic),
            "share": self.share,
        }

    def check(self, state: dict[str, Any], where: str) -> None:
        """BadInput, naming `where` the state was found, unless batches(state["next_batch"], ...) would go on as it had begun."""
        _check(state, self.state(state.get("next_batch", 0)), where)


def identity_of(images: Images) -> dict[str, Any]:
    return {"images": len(images), "fingerprint": fingerprint(images)}


def check_images(state: dict[str, Any] | None, images: Images, where: str) -> None:
    """BadInput if the checkpoint `where`, whose data state this is, was trained on other images."""
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
    """The same batches, placed on the devices `ahead` steps before they are asked for: copying runs beside computing."""
    placed: deque[Batch] = deque()
    with contextlib.closing(batches):
        for batch in batches:
            placed.append(place(batch))
            if len(placed) > ahead:
                yield placed.popleft()
        yield from placed
