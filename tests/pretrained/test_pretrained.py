"""Weight files: what was saved is read back, bit for bit, and nothing that a file says is ever run."""

import collections
import io
import os
import pickle
import struct
import zipfile

import flax.core
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from sde_vae.errors import BadInput
from sde_vae.pretrained import numpy_files, pickles, stand_ins, torch_files
from sde_vae.pretrained.arrays import read_arrays, sha256

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
NUMPY_TYPES = ("float16", "float32", "float64", "int8", "int64", "uint8", "bool", "complex64", ">f4", ">i2")
TORCH_TYPES = (
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "bool",
)


def numbers(*shape):
    return RNG.normal(scale=50, size=shape)


def tensors():
    """One storage whole, transposed, sliced and shared; every type; no dimensions, and no elements."""
    x = torch.from_numpy(numbers(4, 3, 5))
    views = {"whole": x, "turned": x.permute(2, 0, 1), "part": x[1:3, :, ::2], "last": x[-1, -1, -1], "empty": x[:0]}
    types = {f"types.{name}": torch.from_numpy(numbers(3, 2)).abs().to(getattr(torch, name)) for name in TORCH_TYPES}
    return {**views, **types, "parameter": torch.nn.Parameter(x[0].float().T.contiguous().T)}


def plain(tensor):
    tensor = tensor.detach()
    return tensor.float().numpy().astype(ml_dtypes.bfloat16) if tensor.dtype == torch.bfloat16 else tensor.numpy()


def trees():
    turned = numbers(2, 3, 4)
    leaves = {"C": turned, "F": np.asfortranarray(turned), "K": turned.transpose(1, 0, 2), "part": turned[:, ::2]}
    types = {dtype: numbers(3).astype(dtype) for dtype in NUMPY_TYPES}
    return {"body": {"layer_0": leaves, "types": types}, "scalar": np.float32(3.5), "empty": np.zeros((0, 3))}


def flat(tree, place=""):
    for name, node in tree.items():
        yield from flat(node, f"{place}{name}/") if isinstance(node, dict) else [(place + name, np.asarray(node))]


def assert_same(found, expected):
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


def saved(path, data, zipped):
    torch.save(data, path, _use_new_zipfile_serialization=zipped)
    return path


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_torch_files_are_read_back(tmp_path, zipped):
    x = tensors()
    assert_same(read_arrays(saved(tmp_path / "x", x, zipped)), {name: plain(tensor) for name, tensor in x.items()})


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_state_dicts_and_nested_dicts_are_read_back(tmp_path, zipped):
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    path = saved(tmp_path / "x", {"model": module.state_dict(), "epoch": 7, "rate": 0.5, "nothing": None}, zipped)
    state = {f"model/{name}": plain(t) for name, t in module.state_dict().items()}
    assert_same(read_arrays(path), {**state, "epoch": np.asarray(7), "rate": np.asarray(0.5)})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [dict, flax.core.freeze, collections.OrderedDict])
def test_pickles_of_arrays_are_read_back(tmp_path, protocol, kind):
    tree = trees()
    (tmp_path / "x").write_bytes(pickle.dumps(kind(tree), protocol))
    assert_same(read_arrays(tmp_path / "x"), dict(flat(tree)))


def test_safetensors_are_read_back(tmp_path):
    arrays = {name: numbers(3, 2).astype(name) for name in ("float16", "float32", "int64", "uint8", "bool")}
    arrays["a.b"] = numbers(4).astype(ml_dtypes.bfloat16)
    safetensors.numpy.save_file(arrays, tmp_path / "x")
    assert_same(read_arrays(tmp_path / "x"), arrays)


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def attacks(mark):
    return {
        "posix.system|nt.system": Calls(os.system, f"touch {mark}"),
        "(builtins|__builtin__).eval": Calls(eval, f"open({str(mark)!r}, 'w')"),
        "(builtins|__builtin__).exec": {"weights": [Calls(exec, f"open({str(mark)!r}, 'w')")]},
        "(builtins|__builtin__).getattr": Calls(getattr, "load", "upper"),
        "io.open|_io.open": Calls(open, str(mark), "w"),
        "numpy.*fromfile": Calls(np.fromfile, __file__),
        "torch.*_load_from_bytes": Calls(torch.storage._load_from_bytes, b""),
    }


@pytest.mark.parametrize("name", sorted(attacks("mark")))
@pytest.mark.parametrize("write", ["pickle", "zip", "legacy"])
def test_calls_are_refused_and_not_made(tmp_path, name, write):
    mark, path = tmp_path / "mark", tmp_path / "x"
    attack = {"a": np.zeros(3) if write == "pickle" else torch.zeros(3), "b": attacks(mark)[name]}
    if write == "pickle":
        path.write_bytes(pickle.dumps(attack))
    else:
        saved(path, attack, write == "zip")
    with pytest.raises(BadInput, match=f"{path}: refused: it calls for ({name})"):
        read_arrays(path)
    assert not mark.exists()


def test_whole_modules_are_refused(tmp_path):
    with pytest.raises(BadInput, match=r"it calls for torch.nn.modules.linear.Linear"):
        read_arrays(saved(tmp_path / "x", torch.nn.Linear(2, 2), True))


GIANT = struct.pack("<Q", 2**60)
HOSTILE = {
    "objects": ("array of type 'O8'", pickle.dumps({"a": np.array([{}, []], dtype=object)})),
    "text": ("array of type 'U1'", pickle.dumps({"a": np.array(["a", "b"])})),
    "records": ("array of type 'V8'", pickle.dumps({"a": np.zeros(2, dtype=[("x", "f4"), ("y", "f4")])})),
    "no dict": ("not a dict", pickle.dumps(np.zeros(3))),
    "a list": ("'a' is of type list", pickle.dumps({"a": [1, 2]})),
    "a huge number": ("'a' is of type int", pickle.dumps({"a": 10**30})),
    "two of one name": ("the same name 'a/b'", pickle.dumps({"a/b": np.zeros(1), "a": {"b": np.ones(1)}})),
    "a shape without bytes": ("numpy's own recipe", pickle.dumps({"a": Calls(np.ndarray, (10**6, 10**6))})),
    "no shape": ("without a shape", b"\x80\x02}X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\n)Rs."),
    "a state for a global": ("has no state", b"\x80\x02cnumpy\ndtype\n}X\x05\x00\x00\x00_makeK\x01sb."),
    "attributes for a global": ("has no state", b"\x80\x02cnumpy\ndtype\nN}X\x05\x00\x00\x00_makeK\x01s\x86b."),
    "an extension": ("extension code 1", b"\x80\x02\x82\x01."),
    "a persistent id": ("outside of itself, 1", b"\x80\x02K\x01Q."),
    "memo 2^32": ("in memo 4294967295", b"\x80\x02}r\xff\xff\xff\xff."),
    "memo 10^15": ("in memo 1000000000000000", b"\x80\x02}p1000000000000000\n."),
    "2^60 bytes": ("only 1 remain", b"\x80\x04\x8e" + GIANT + b"."),
    "2^60 bytes to write in": ("only 1 remain", b"\x80\x05\x96" + GIANT + b"."),
    "2^60 letters": ("only 1 remain", b"\x80\x04\x8d" + GIANT + b"."),
    "a frame of 2^60": ("truncated", b"\x80\x04\x95" + GIANT + b"}."),
    "a header of 2^60": ("header too large", GIANT + b"{}"),
    "nothing": ("not a weight file we know", b""),
    "a text": ("not a weight file we know", b"these are no weights"),
    "protocol 0": ("not a weight file we know", pickle.dumps({"a": np.zeros(3)}, 0)),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_files_are_refused_for_what_they_do(tmp_path, name):
    why, data = HOSTILE[name]
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(BadInput, match=f"{tmp_path / 'x'}: .*{why}"):
        read_arrays(tmp_path / "x")
    assert numpy_files.GLOBALS["numpy.dtype"]("f4").numpy == np.float32, "the stand-ins are as they were"


def test_operations_have_an_end(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"\x80\x02" + b"}0" * 1000 + b"}.")
    assert read_arrays(tmp_path / "x") == {}
    monkeypatch.setattr(pickles, "MAX_OPERATIONS", 1000)
    with pytest.raises(BadInput, match="over 1000 operations"):
        read_arrays(tmp_path / "x")


def test_a_dict_that_unfolds_without_end_is_refused(tmp_path):
    tree = {"leaf": np.zeros(1)}
    for _ in range(60):
        tree = {"a": tree, "b": tree}
    circle = {}
    circle["self"] = circle
    for data in (tree, circle):
        (tmp_path / "x").write_bytes(pickle.dumps(data))
        with pytest.raises(BadInput, match="twice"):
            read_arrays(tmp_path / "x")


def views_of_one(count):
    """Arrays under many names that share one array's bytes, by numpy's own protocol."""
    data = np.zeros(1000).tobytes()
    return {str(i): Calls(np._core.numeric._frombuffer, data, np.dtype("f8"), (1000,), "C") for i in range(count)}


def test_sharing_has_an_end(tmp_path):
    """Tied weights are read; a file whose arrays take many times its own size is not."""
    (tmp_path / "x").write_bytes(pickle.dumps(views_of_one(4)))
    assert len(read_arrays(tmp_path / "x")) == 4
    (tmp_path / "x").write_bytes(pickle.dumps(views_of_one(99)))
    with pytest.raises(BadInput, match="far more than the file"):
        read_arrays(tmp_path / "x")


def test_a_list_of_pairs_serves_once():
    """Python 2 makes an OrderedDict of a list; a pickle could have the same list copied at two bytes a time."""
    pairs = [["a", 1], ["b", 2]]
    assert stand_ins.ordered(pairs) == {"a": 1, "b": 2}
    assert stand_ins.ordered(pairs) == {}


def test_claims_are_checked_against_the_bytes(tmp_path):
    """A shape larger than its bytes, in numpy's pickles and in torch's."""
    data = pickle.dumps({"a": np.zeros(7, np.uint8)}, 2)
    (tmp_path / "x").write_bytes(data.replace(b"K\x07\x85", b"J\xff\xff\xff\x7f\x85"))
    with pytest.raises(BadInput, match=r"shape \(2147483647,\) in 7 bytes"):
        read_arrays(tmp_path / "x")
    with pytest.raises(BadInput, match="does not fit its storage of 1 elements"):
        read_arrays(saved(tmp_path / "x", {"a": torch.zeros(1).expand(10**6, 10**6)}, True))


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(0, (7,), (1,)), (5, (2,), (1,)), (0, (2, 2), (6, 1)), (2**62, (2,), (1,)), (0, (6, 6), (0, 1))],
)
def test_tensors_stay_inside_their_storage(offset, size, stride):
    storage = torch_files.Storage(np.dtype("f4"), 6)
    storage.fill("0", bytes(24))
    with pytest.raises(stand_ins.Refused, match="does not fit its storage of 6 elements"):
        _ = torch_files.Tensor(storage, offset, size, stride).array


def test_storages_hold_what_they_say():
    with pytest.raises(stand_ins.Refused, match="20 bytes for 6 elements"):
        torch_files.Storage(np.dtype("f4"), 6).fill("0", bytes(20))
    with pytest.raises(stand_ins.Refused, match="in a way we do not know"):
        torch_files.Tensor(torch_files.Storage(np.dtype("f4"), 6), -1, (1,), (1,))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_packed_archives_are_refused(tmp_path, method):
    """torch's archive, packed; and an entry of a gigabyte in a file of a megabyte."""
    saved(tmp_path / "x", {"a": torch.zeros(1000)}, True)
    with zipfile.ZipFile(tmp_path / "x") as old, zipfile.ZipFile(tmp_path / "y", "w", method) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    if method == zipfile.ZIP_STORED:
        assert_same(read_arrays(tmp_path / "y"), {"a": np.zeros(1000, np.float32)})
    else:
        with pytest.raises(BadInput, match="compressed"):
            read_arrays(tmp_path / "y")


def small(kind):
    stream, arrays = io.BytesIO(), {"a": np.arange(40, dtype=np.float32), "b": np.ones((3, 2), np.float32)}
    if kind == "safetensors":
        return safetensors.numpy.save(arrays)
    if kind == "pickle":
        return pickle.dumps({"layer": arrays})
    torch.save(
        {n: torch.from_numpy(a) for n, a in arrays.items()}, stream, _use_new_zipfile_serialization=kind == "zip"
    )
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "safetensors"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path, kind):
    data, path = small(kind), tmp_path / "x"
    for length in sorted({*range(0, len(data), max(1, len(data) // 150)), len(data) - 1}):
        path.write_bytes(data[:length])
        with pytest.raises(BadInput, match=str(path)):
            read_arrays(path)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "safetensors"])
def test_a_spoilt_file_is_read_or_refused(tmp_path, kind):
    """One byte changed: either it was a number of an array, or BadInput. No other error, whatever the byte."""
    data, path, rng = small(kind), tmp_path / "x", np.random.default_rng(1)
    refused = 0
    for place in rng.integers(len(data), size=300):
        spoilt = bytearray(data)
        spoilt[place] = rng.integers(256)
        path.write_bytes(spoilt)
        try:
            assert all(isinstance(a, np.ndarray) and a.dtype != object for a in read_arrays(path).values())
        except BadInput:
            refused += 1
    assert refused > 0


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"absent\.pth: cannot be read"):
        read_arrays(tmp_path / "absent.pth")


def test_sha256_is_the_standards(tmp_path):
    """FIPS 180-2, appendix B.1."""
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
