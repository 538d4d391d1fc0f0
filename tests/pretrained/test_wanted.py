"""Weights beside other things: what is asked for is read, and the rest is neither read nor run; memory is that of the file."""

import importlib
import pickle
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from benchmarks.faults.reader_files import strangers_file, training_files, training_tree
from sde_vae.errors import BadInput
from sde_vae.pretrained import leaves
from sde_vae.pretrained.arrays import is_known, read_arrays, read_shapes
from tests.pretrained.test_pretrained import attacks, saved, small

torch = pytest.importorskip("torch")
KINDS = ("zip", "legacy", "protocol 4")


def under(*places):
    return lambda name: name.startswith(places)


def written(path, data):
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    return {kind: written(folder / kind, data) for kind, data in training_files().items()}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_read_out_of_a_whole_training(training, kind):
    """The tensors have their values, the lists their places; the shapes are those of the arrays."""
    wanted = under("state_dict/ema_model.", "ema/")
    found = read_arrays(training[kind], wanted)
    torch.manual_seed(0)
    names = [f"{i}.{part}" for i in (0, 1) for part in ("weight", "bias")]
    assert list(found) == [f"state_dict/ema_model.{n}" for n in names] + [f"ema/shadow_params/{i}" for i in range(4)]
    for i, name in enumerate(names):
        np.testing.assert_array_equal(found[f"state_dict/ema_model.{name}"], found[f"ema/shadow_params/{i}"])
        assert np.std(found[f"ema/shadow_params/{i}"]) > 0
    assert read_shapes(training[kind], wanted) == {name: array.shape for name, array in found.items()}
    assert "strangers" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("strangers")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("callbacks/early", r"at 'callbacks/early/0' it calls for strangers.Callback, .*not run"),
        ("rng", "at 'rng' it holds a tuple of 625 parts"),
        ("counts", "at 'counts' it calls for collections.defaultdict"),
        ("version", "'version' is of type str"),
        ("hyper_parameters/betas", "'hyper_parameters/betas' is of type tuple"),
    ],
)
def test_what_is_unknown_is_named_where_it_is_asked_for(training, kind, place, why):
    with pytest.raises(BadInput, match=why):
        read_arrays(training[kind], under(place))


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_still_refused(training, kind):
    with pytest.raises(BadInput, match=r"refused: it calls for strangers\.Callback"):
        read_arrays(training[kind])


@pytest.mark.parametrize("name", sorted(attacks("mark")))
@pytest.mark.parametrize("write", ["pickle", "zip", "legacy"])
def test_calls_beside_what_is_wanted_are_not_made(tmp_path, name, write):
    mark, path = tmp_path / "mark", tmp_path / "x"
    attack = {"a": np.zeros(3) if write == "pickle" else torch.zeros(3), "b": attacks(mark)[name]}
    if write == "pickle":
        path.write_bytes(pickle.dumps(attack))
    else:
        saved(path, attack, write == "zip")
    assert list(read_arrays(path, under("a"))) == ["a"]
    with pytest.raises(BadInput, match=f"at 'b.*' it calls for ({name})"):
        read_arrays(path, under("b"))
    assert not mark.exists()


def spoil(path, array):
    """Change the last byte of an array in a file."""
    data, place = bytearray(path.read_bytes()), path.read_bytes().index(array.tobytes()) + array.nbytes - 1
    data[place] ^= 1
    path.write_bytes(data)


def test_damage_is_found_where_it_is_read(tmp_path):
    """An archive has a checksum for each storage: the tensor is named; where it is not asked for, nothing is read."""
    a, b = np.arange(40.0), -np.arange(7.0)
    path = saved(tmp_path / "x", {"a": torch.from_numpy(a), "b": {"c": torch.from_numpy(b)}}, True)
    spoil(path, b)
    with pytest.raises(BadInput, match=r"'b/c': the checksum of '.*data/1' is wrong"):
        read_arrays(path)
    np.testing.assert_array_equal(read_arrays(path, under("a"))["a"], a)
    assert read_shapes(path) == {"a": (40,), "b/c": (7,)}


def test_torch_may_leave_the_checksum_out(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path / "x", {"a": torch.arange(4)}, True)
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_arrays(path)["a"].tolist() == [0, 1, 2, 3]


def test_an_entry_is_where_its_own_header_says(tmp_path):
    path = saved(tmp_path / "x", {"a": torch.arange(4)}, True)
    with zipfile.ZipFile(path) as archive:
        place = next(e.header_offset for e in archive.infolist() if e.filename.endswith("data/0"))
    data = bytearray(path.read_bytes())
    data[place + 31] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadInput, match="is not where the directory of the archive says"):
        read_arrays(path)


def test_files_cut_short_name_the_tensor(tmp_path):
    """torch's older files hold the storages by their addresses in memory, so either may be the last there."""
    arrays = {"first": np.ones(50, np.float32), "second": np.ones(50, np.float32)}
    safetensors.numpy.save_file(arrays, tmp_path / "s")
    saved(tmp_path / "l", {"layer": {n: torch.from_numpy(a) for n, a in arrays.items()}, "name": "x"}, False)
    for path, last in ((tmp_path / "s", "second"), (tmp_path / "l", "layer/(first|second)")):
        path.write_bytes(path.read_bytes()[:-4])
        with pytest.raises(BadInput, match=f"cut short: of the 200 bytes of '{last}', 196 are left"):
            read_arrays(path, under("layer/first", "first"))


def header(text, data=bytes(8)):
    return len(text).to_bytes(8, "little") + text.encode() + data


def entry(name, start, stop, dtype="F32", shape="[1]"):
    return f'"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{stop}]}}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{{{entry('a', 0, 4)},{entry('b', 0, 4)}}}", "'b' lies at bytes 0 to 4, and not from 4 on"),
        (f"{{{entry('a', 0, 4)},{entry('b', 5, 8)}}}", "'b' lies at bytes 5 to 8, and not from 4 on"),
        (f"{{{entry('a', 0, 4)}}}", "4 bytes at its end belong to no array"),
        (f"{{{entry('a', 0, 4)},{entry('a', 4, 8)}}}", "the same name twice"),
        (f"{{{entry('a', 0, 8)}}}", r"'a': it is an array of shape \(1,\) and type F32 in 8 bytes"),
        (f"{{{entry('a', 0, 8, 'F4')}}}", "'a': it is an array of type 'F4', which we do not read"),
        (f"{{{entry('a', 0, 8, shape='[-1]')}}}", "describes 'a' in a way we do not know"),
        (f"{{{entry('a', 0, 8, shape='[1.0]')}}}", "describes 'a' in a way we do not know"),
        ('{"a":{"dtype":"F32"}}', "describes 'a' in a way we do not know"),
        ('{"a":', "corrupt or cut short"),
    ],
)
def test_headers_of_safetensors_are_checked(tmp_path, text, why):
    with pytest.raises(BadInput, match=why):
        read_arrays(written(tmp_path / "x", header(text)))


def test_unknown_types_of_safetensors_may_lie_beside(tmp_path):
    text = f'{{"__metadata__":{{"format":"pt"}},{entry("a", 0, 4)},{entry("b", 4, 8, "F8_E4M3", "[4]")}}}'
    assert list(read_arrays(written(tmp_path / "x", header(text)), under("a"))) == ["a"]


@pytest.mark.parametrize("node", [{}, [], ()], ids=["dicts", "lists", "tuples"])
def test_trees_without_end_are_refused_wherever_they_are(tmp_path, node):
    tree = {"a": node} if isinstance(node, dict) else type(node)([{"a": 1.0}])
    for _ in range(60):
        tree = {"a": tree, "b": tree} if isinstance(node, dict) else type(node)([tree, tree])
    path = written(tmp_path / "x", pickle.dumps({"a": tree, "w": np.ones(2)}))
    with pytest.raises(BadInput, match=f"over {leaves.MAX_PLACES} places"):
        read_arrays(path, under("w"))


def test_a_circle_beside_what_is_wanted_is_passed_over(tmp_path):
    circle = {}
    circle["self"] = circle
    path = written(tmp_path / "x", pickle.dumps({"c": circle, "w": np.ones(2)}))
    assert list(read_arrays(path, under("w"))) == ["w"]


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "safetensors"])
def test_reading_allocates_no_arrays(tmp_path, kind):
    """The arrays are views of the map: 8 MB of weights take less than 200 kB."""
    arrays = {f"w{i}": np.full((500, 500), i, np.float32) for i in range(8)}
    path = tmp_path / "x"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(arrays))
    elif kind == "safetensors":
        safetensors.numpy.save_file(arrays, path)
    else:
        saved(path, {name: torch.from_numpy(a) for name, a in arrays.items()}, kind == "zip")
    read_arrays(path)
    tracemalloc.start()
    try:
        found = read_arrays(path)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    assert all(not found[name].flags.writeable and np.array_equal(found[name], arrays[name]) for name in arrays)


def test_a_spoilt_training_is_read_or_refused(tmp_path):
    """One byte changed: arrays of numbers, or BadInput, whatever the byte."""
    data, rng, refused = strangers_file(training_tree), np.random.default_rng(2), 0
    for place in rng.integers(len(data), size=60):
        spoilt = bytearray(data)
        spoilt[place] = rng.integers(256)
        try:
            found = read_arrays(written(tmp_path / "x", spoilt), under("state_dict/ema_model.", "ema/"))
            assert all(array.dtype.kind == "f" for array in found.values())
        except BadInput:
            refused += 1
    assert refused > 0


def test_formats_are_told_by_their_first_bytes(tmp_path):
    for kind in ("zip", "legacy", "pickle", "safetensors"):
        assert is_known(written(tmp_path / "x", small(kind)))
    for data in (b"", b"these are no weights", b"\x86\xa4step\x01"):
        assert not is_known(written(tmp_path / "x", data))
