"""Checkpoints: round trips, and every way in which one can be damaged or foreign."""

import gc
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.errors import BadInput, NotWritten
from sde_vae.methods.method import Method
from sde_vae.training.checkpoints import Checkpoints, load_ema
from sde_vae.training.description import Damaged, newest_record, read_description
from sde_vae.training.train_state import adam, constant, init_state

# A read that fails leaves one of orbax's own coroutines behind, which complains when it is collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True, scope="module")
def _collect():
    """While the filter holds, and once: each time it looks through all that JAX has traced."""
    yield
    gc.collect()


def state_at(step, width=4):
    method = Method(lambda key: {"w": jax.random.normal(key, (width, 3)), "b": jnp.zeros(3)}, None, None, None)
    state = init_state(method, adam(1e-3, 10, 1, 1.0, constant), jax.random.key(step))
    return state._replace(step=jnp.int32(step))


def write(directory, steps, stage="prior"):
    with Checkpoints(directory, stage) as checkpoints:
        for step in steps:
            checkpoints.save(state_at(step), {"next_batch": step})


def read(directory, stage="prior", width=4):
    with Checkpoints(directory, stage) as checkpoints:
        return checkpoints.restore_latest(jax.eval_shape(lambda: state_at(0, width)))


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_round_trip_bit_for_bit(tmp_path):
    write(tmp_path, [1, 2])
    same(read(tmp_path), state_at(2))
    ema, step, data, _ = load_ema(tmp_path, "prior", jax.eval_shape(lambda: state_at(0).ema_params), "field")
    assert (step, data) == (2, {"next_batch": 2})
    same(ema, state_at(2).ema_params)


def test_the_data_iterators_state_goes_with_the_checkpoint(tmp_path):
    write(tmp_path, [1, 2])
    with Checkpoints(tmp_path, "prior") as checkpoints:
        assert checkpoints.data_state(2) == {"next_batch": 2}


def test_a_relative_folder_will_do(tmp_path, monkeypatch):
    """The default workdir is one: runs/NAME."""
    monkeypatch.chdir(tmp_path)
    write(Path("runs"), [1])
    same(read(Path("runs")), state_at(1))
    assert load_ema(Path("runs"), "prior", jax.eval_shape(lambda: state_at(0).ema_params), "field")[1] == 1


def test_no_checkpoint_is_none_and_the_policy_keeps_the_newest(tmp_path):
    assert read(tmp_path / "a") is None
    write(tmp_path / "b", [1, 2, 3, 4, 5])
    assert sorted(int(p.name) for p in (tmp_path / "b").iterdir()) == [3, 4, 5]


def array_files(directory):
    """The files that hold arrays: under the items' data folders."""
    return [p for p in directory.rglob("*") if p.is_file() and p.parent.name == "d" and "meta" not in p.parts]


def flip(directory):
    for file in array_files(directory):
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 2] ^= 0x10
        file.write_bytes(bytes(raw))


def truncate(directory):
    for file in array_files(directory):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def remove(directory):
    for file in array_files(directory):
        file.unlink()


def empty(directory):
    shutil.rmtree(directory)
    directory.mkdir()


def spoil_meta(directory):
    for file in (directory / "meta").rglob("*"):
        if file.is_file():
            file.write_text("{")


@pytest.mark.parametrize("damage", [flip, truncate, remove, empty, spoil_meta])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path, damage):
    write(tmp_path, [1, 2])
    damage(tmp_path / "2")
    with pytest.warns(UserWarning, match=rf"skipping {tmp_path}/2: .*moved to 2.damaged"):
        state = read(tmp_path)
    same(state, state_at(1))
    # Its step can be written again, and nothing was lost.
    write(tmp_path, [2])
    same(read(tmp_path), state_at(2))
    assert (tmp_path / "2.damaged").is_dir()


def test_an_unfinished_save_is_named_and_skipped(tmp_path):
    write(tmp_path, [1])
    (tmp_path / "2.orbax-checkpoint-tmp-0").mkdir()
    with pytest.warns(UserWarning, match=r"2\.orbax-checkpoint-tmp-0: a checkpoint that was never finished"):
        same(read(tmp_path), state_at(1))


def test_a_foreign_checkpoint_is_refused(tmp_path):
    write(tmp_path, [1])
    with pytest.raises(BadInput, match="expected a checkpoint of the stage 'encoder', found one of 'prior'"):
        read(tmp_path, stage="encoder")
    with pytest.raises(BadInput, match=r"another network: expected .*float32\[6, 3\], found float32\[4, 3\]"):
        read(tmp_path, width=6)
    assert (tmp_path / "1").is_dir()


def test_a_missing_checkpoint_is_refused_with_its_field(tmp_path):
    abstract = jax.eval_shape(lambda: state_at(0).ema_params)
    with pytest.raises(BadInput, match=r"config.prior.checkpoint: expected checkpoints .* found no such folder"):
        load_ema(tmp_path / "none", "prior", abstract, "config.prior.checkpoint")
    (tmp_path / "readme.txt").write_text("")
    with pytest.raises(BadInput, match=r"expected a whole checkpoint .* found readme.txt"):
        load_ema(tmp_path, "prior", abstract, "config.prior.checkpoint")


def test_the_description_is_plain_json(tmp_path):
    write(tmp_path, [1])
    meta = json.loads((tmp_path / "1" / "meta" / "metadata").read_text())
    assert meta["stage"] == "prior"
    assert meta["leaves"]["['params']['w']"]["shape"] == [4, 3]


def test_a_flipped_bit_of_the_description_is_damage_and_never_another_network(tmp_path):
    write(tmp_path, [1])
    path = tmp_path / "1" / "meta" / "metadata"
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(Damaged):
            read_description(tmp_path / "1")


def test_a_description_of_version_0_1_is_read(tmp_path):
    write(tmp_path, [1])
    path = tmp_path / "1" / "meta" / "metadata"
    meta = json.loads(path.read_text())
    path.write_text(json.dumps({name: meta[name] for name in ("stage", "data", "leaves")}))
    same(read(tmp_path), state_at(1))
    assert newest_record(tmp_path) == (1, None)


@pytest.mark.parametrize("old", [False, True])
def test_a_copy_under_a_later_step_is_skipped(tmp_path, old):
    write(tmp_path, [1, 2])
    shutil.copytree(tmp_path / "1", tmp_path / "9")
    if old:
        path = tmp_path / "9" / "meta" / "metadata"
        meta = json.loads(path.read_text())
        path.write_text(json.dumps({name: meta[name] for name in ("stage", "data", "leaves")}))
    with pytest.warns(UserWarning, match=r"skipping .*/9: it is of step 1, under the name of another$"):
        assert load_ema(tmp_path, "prior", jax.eval_shape(lambda: state_at(0).ema_params), "field").step == 2
    with pytest.warns(
        UserWarning, match=r"skipping .*/9: it is of step 1, under the name of another; moved to 9\.damaged"
    ):
        same(read(tmp_path), state_at(2))


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(NotWritten, match=r"no room for a checkpoint \(0\.0 MB free, 0\.3 MB needed\)"):
        write(tmp_path, [1])
