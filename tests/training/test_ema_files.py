"""The file of EMA parameters: what is read is what was written, in half precision, or the file is refused."""

import jax
import numpy as np
import pytest

from sde_vae.errors import BadInput
from sde_vae.training import workdir
from sde_vae.training.checkpoints import load_ema
from sde_vae.training.ema_files import write_ema
from sde_vae.training.workdir import EMA_FILE as FILE

DATA = {"next_batch": 7, "fingerprint": "abc"}


def params(width=3):
    rng = np.random.default_rng(0)
    return {"Dense_0": {"kernel": rng.normal(size=(4, width)).astype(np.float32), "bias": np.zeros(width, np.float32)}}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "prior" / FILE
    write_ema(path, "prior", params(), 7, DATA)
    return path


def read(file, stage="prior", width=3):
    return load_ema(file.parent / "checkpoints", stage, jax.eval_shape(lambda: params(width)), "--workdir")


def test_it_is_read_where_there_are_no_checkpoints(file):
    found = read(file)
    assert (found.step, found.data) == (7, DATA)
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a, b.astype(np.float16).astype(np.float32)), found.params, params()
    )
    assert {a.dtype for a in jax.tree.leaves(found.params)} == {np.dtype(np.float32)}


def test_a_flipped_bit_anywhere_or_a_cut_is_refused_in_one_line(file):
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        refused(file)
    for end in (0, 5, 100, len(whole) - 1):
        file.write_bytes(whole[:end])
        refused(file)


def refused(file):
    with pytest.raises(BadInput, match="is damaged") as error:
        read(file)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)


def test_another_stage_or_network_is_refused(file):
    with pytest.raises(BadInput, match=r"expected parameters of the stage 'encoder'.*found those of 'prior'"):
        read(file, "encoder")
    with pytest.raises(BadInput, match=r"another network: expected Dense_0/bias to be \(\[5\], 'float32'\), found"):
        read(file, width=5)


def test_what_half_precision_cannot_hold_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"Dense_0/bias has values that float16 cannot hold, up to 70000"):
        write_ema(tmp_path / FILE, "prior", {"Dense_0": {"bias": np.full(3, 7e4, np.float32)}}, 1, None)


def test_the_folder_is_a_trained_run_that_is_not_trained_over(file):
    assert workdir.has_checkpoints(file.parents[1])
    with pytest.raises(BadInput, match=r"holds a released run, which cannot be trained further"):
        workdir.claim(file.parents[1], {}, {})
