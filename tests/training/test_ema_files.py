"""EMA parameters in one small file: read back in half precision, and refused where they are damaged or of something else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_vae.errors import BadInput
from sde_vae.training.checkpoints import load_ema
from sde_vae.training.ema_files import FILE, read_ema, write_ema

RNG = np.random.default_rng(0)
PARAMS = {
    "conv": {"kernel": RNG.standard_normal((3, 3, 1, 4)).astype(np.float32), "bias": np.zeros(4, np.float32)},
    "count": np.arange(3, dtype=np.int32),
}
DATA = {"fingerprint": "abc", "images": 7}


def abstract(params):
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), params)


@pytest.fixture
def path(tmp_path):
    write_ema(tmp_path / FILE, "encoder", PARAMS, 12, DATA)
    return tmp_path / FILE


def test_what_is_read_is_what_was_written_to_half_precision(path):
    params, step, data = read_ema(path, "encoder", abstract(PARAMS), "--workdir")
    assert (step, data) == (12, DATA)
    assert jax.tree.structure(params) == jax.tree.structure(PARAMS)
    np.testing.assert_array_equal(params["count"], PARAMS["count"])
    for found, wrote in zip(jax.tree.leaves(params), jax.tree.leaves(PARAMS), strict=True):
        assert found.dtype == wrote.dtype
        np.testing.assert_allclose(found, wrote, rtol=2**-11, atol=1e-7)


def test_it_stands_in_for_checkpoints(path):
    trained = load_ema(path.parent / "checkpoints", "encoder", abstract(PARAMS), "--workdir")
    assert (trained.step, trained.data) == (12, DATA)
    with pytest.raises(BadInput, match=r"--workdir: expected checkpoints of the stage 'prior'"):
        load_ema(path.parent.parent / "none" / "checkpoints", "prior", abstract(PARAMS), "--workdir")


def test_a_flipped_byte_anywhere_in_the_arrays_is_refused(path):
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in (start, (start + len(whole)) // 2, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BadInput, match=r"--workdir: .* is damaged .*its checksum is wrong"):
            read_ema(path, "encoder", abstract(PARAMS), "--workdir")


@pytest.mark.parametrize("harm", [lambda data: data[:-1], lambda data: data[:20], lambda data: b""])
def test_a_file_cut_short_is_refused(path, harm):
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(BadInput, match=r"--workdir: .* is damaged .*; copy or install it again"):
        read_ema(path, "encoder", abstract(PARAMS), "--workdir")


def test_another_stage_and_another_network_are_refused(path):
    with pytest.raises(BadInput, match=r"expected parameters of the stage 'prior' in .*, found those of 'encoder'"):
        read_ema(path, "prior", abstract(PARAMS), "--workdir")
    wider = PARAMS | {"count": np.arange(4, dtype=np.int32)}
    with pytest.raises(
        BadInput, match=r"another network: expected count to be \(\[4\], 'int32'\), found \(\[3\], 'int32'\)"
    ):
        read_ema(path, "encoder", abstract(wider), "--workdir")
    with pytest.raises(BadInput, match=r"another network: expected more to be .*, found absent \(1 arrays differ\)"):
        read_ema(path, "encoder", abstract(PARAMS | {"more": jnp.zeros(2)}), "--workdir")


def test_values_that_half_precision_cannot_hold_are_refused(tmp_path):
    with pytest.raises(BadInput, match="w has values that float16 cannot hold, up to 100000"):
        write_ema(tmp_path / FILE, "prior", {"w": np.full(2, 1e5, np.float32)}, 1, None)
    assert not list(tmp_path.iterdir())
