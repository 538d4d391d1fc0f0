"""Batches: a function of seed and step, whoever reads them, and never of other data in silence."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sde_vae.data.dataset import to_unit
from sde_vae.data.pipeline import Pipeline, prefetch
from sde_vae.errors import BadInput

PIPELINE = Pipeline(np.arange(20, dtype=np.uint8).reshape(-1, 1, 1, 1), 256, batch_size=6, seed=0)


def pixels(pipeline, start, stop):
    return np.stack([b.x.ravel() for b in pipeline.batches(start, stop)])


def test_a_batch_is_a_function_of_seed_and_step():
    whole = pixels(PIPELINE, 0, 12)
    np.testing.assert_array_equal(pixels(PIPELINE, 7, 12), whole[7:])
    assert not np.array_equal(pixels(PIPELINE._replace(seed=1), 0, 1), whole[:1])
    epochs = whole.ravel()[:60].reshape(3, 20)
    for epoch in epochs:
        assert len(set(epoch.tolist())) == 20
    assert not np.array_equal(epochs[0], epochs[1])


def test_worker_processes_change_nothing():
    np.testing.assert_array_equal(pixels(PIPELINE._replace(workers=2), 3, 9), pixels(PIPELINE, 3, 9))


READS = """
import multiprocessing
import numpy as np
from sde_vae.data.pipeline import Pipeline
if __name__ == "__main__":
    images = np.zeros((20, 64, 64, 1), np.uint8)
    for _ in Pipeline(images, 256, batch_size=4, seed=0, workers=2).batches(0, 10**9):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    """Nor does their shared memory stay. The empty name of a segment may, if its worker ended before it gave it a size."""
    segments = lambda: {path.name for path in Path("/dev/shm").glob("psm_*") if path.stat().st_size}
    (tmp_path / "reads.py").write_text(READS)
    before = segments()
    process = subprocess.Popen([sys.executable, str(tmp_path / "reads.py")], stdout=subprocess.PIPE, text=True)
    # The second is started with the first batch.
    while len(workers := process.stdout.readline().split()) < 2:
        assert process.poll() is None
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) or segments() - before:
        assert time.monotonic() < deadline, (workers, segments() - before)
        time.sleep(0.05)


def test_hosts_share_a_batch_without_overlap_or_gap():
    parts = [list(PIPELINE._replace(process=p, processes=3).batches(2, 6)) for p in range(3)]
    for step, whole in enumerate(PIPELINE.batches(2, 6)):
        np.testing.assert_array_equal(np.concatenate([part[step].x for part in parts]), whole.x)
        np.testing.assert_array_equal(np.concatenate([part[step].index for part in parts]), whole.index)


def test_synthetic_images_have_their_share_and_their_own_epochs():
    """A quarter, in every batch but for rounding; each source goes on through all of its images before one comes again."""
    synthetic = np.arange(100, 130, dtype=np.uint8).reshape(-1, 1, 1, 1)
    mixed = PIPELINE._replace(batch_size=8, synthetic=synthetic, share=0.25)
    seen = np.round(to_unit(pixels(mixed, 0, 20)) * 255).astype(int)
    assert set((seen >= 100).sum(axis=1)) == {2}
    for source in (seen[seen < 100], seen[seen >= 100]):
        images = 20 if source[0] < 100 else 30
        first = source[: images * (len(source) // images)].reshape(-1, images)
        assert all(len(set(epoch)) == images for epoch in first)
    np.testing.assert_array_equal(pixels(mixed, 7, 12), pixels(mixed, 0, 12)[7:])
    np.testing.assert_array_equal(pixels(mixed._replace(workers=2), 3, 6), pixels(mixed, 3, 6))
    hosts = [np.concatenate([b.x for b in mixed._replace(process=p, processes=2).batches(0, 1)]) for p in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(hosts).ravel(), pixels(mixed, 0, 1).ravel())


def test_labels_come_with_their_images_in_the_order_without_them():
    labelled = PIPELINE._replace(labels=np.arange(20, dtype=np.int32) * 10)
    for pipeline in (labelled, labelled._replace(workers=2)):
        batches = list(pipeline.batches(3, 9))
        np.testing.assert_array_equal(np.stack([b.x.ravel() for b in batches]), pixels(PIPELINE, 3, 9))
        for batch in batches:
            assert batch.label.dtype == np.int32
            np.testing.assert_array_equal(batch.label, np.round(to_unit(batch.x.ravel()) * 255) * 10)
    assert next(PIPELINE.batches(0, 1)).label is None
    with pytest.raises(BadInput, match=r"other data \(labels was .*, is .*\)"):
        labelled._replace(labels=labelled.labels[::-1]).check(labelled.state(5), "here")
    PIPELINE.check({n: v for n, v in PIPELINE.state(5).items() if n != "labels"}, "here")


def test_a_checkpoint_knows_its_synthetic_images():
    mixed = PIPELINE._replace(synthetic=PIPELINE.images[:5], share=0.25)
    mixed.check(mixed.state(5), "here")
    for other in (mixed._replace(synthetic=PIPELINE.images[:6]), mixed._replace(share=0.5)):
        with pytest.raises(BadInput, match=r"here: it was trained on other data \((drawn|share) was"):
            other.check(mixed.state(5), "here")
    with pytest.raises(BadInput, match=r"drawn was None"):
        mixed.check(PIPELINE.state(5), "here")
    with pytest.raises(BadInput, match=r"drawn was .*, is None"):
        PIPELINE.check(mixed.state(5), "here")
    # Without any a state from before there could be any is as good.
    PIPELINE.check({n: v for n, v in PIPELINE.state(5).items() if n not in ("drawn", "share")}, "here")


def test_a_checkpoint_knows_its_data():
    state = PIPELINE.state(5)
    PIPELINE.check(state, "here")
    other = PIPELINE.images.copy()
    other[3] += 1
    with pytest.raises(BadInput, match=r"here: it was trained on other data \(fingerprint was .*, is .*\)"):
        PIPELINE._replace(images=other).check(state, "here")
    with pytest.raises(BadInput, match=r"other data \(images was 20, is 19\)"):
        PIPELINE._replace(images=PIPELINE.images[1:]).check(state, "here")


def test_prefetching_keeps_the_order_and_places_ahead():
    placed = []

    def place(batch):
        placed.append(batch)
        return batch + 100

    out = prefetch((i for i in range(6)), place, ahead=2)
    assert next(out) == 100
    assert placed == [0, 1, 2]
    assert list(out) == [101, 102, 103, 104, 105]
