"""Arrays of the user: each format gives the same examples, each fault is refused in one line that names its place."""

import io
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from sde_vae.data.dataset import fingerprint, take, to_model
from sde_vae.data.datasets.arrays import read_examples
from sde_vae.data.datasets.load import load
from sde_vae.data.io import array_files
from sde_vae.errors import BadInput
from tests.helpers.files import options

N = 40
# float32 numbers of very different scale and place.
X = (np.random.default_rng(0).normal(size=(N, 3)) * [1, 1e-3, 1e3] + [1e4, 0, -5]).astype(np.float32)


def of(path, tmp_path, shape=(3,), **changes):
    return load("arrays", options(path, tmp_path / "cache", **changes)._replace(shape=shape))


def refused(path, tmp_path, match, shape=(3,)):
    with pytest.raises(BadInput, match=match) as error:
        of(path, tmp_path, shape)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def text_of(x, separator=",", header=()):
    lines = [separator.join(header)] * bool(header) + [separator.join(map(repr, row)) for row in x.tolist()]
    return "\n".join(lines) + "\n"


WRITERS = {
    "a.npy": lambda path, x: np.save(path, x),
    "double.npy": lambda path, x: np.save(path, x.astype(np.float64)),
    "fortran.npy": lambda path, x: np.save(path, np.asfortranarray(x)),
    "big_endian.npy": lambda path, x: np.save(path, x.astype(">f4")),
    "a.npz": lambda path, x: np.savez(path, x=x),
    "compressed.npz": lambda path, x: np.savez_compressed(path, anything=x),
    "a.csv": lambda path, x: path.write_text(text_of(x)),
    "header.csv": lambda path, x: path.write_text("\ufeff" + text_of(x, ";", ("a", "b c", "1st"))),
    "tabs.CSV": lambda path, x: path.write_text("\n" + text_of(x, "\t").replace("\n", "\r\n")),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_examples_standardised(tmp_path, name):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / name
    WRITERS[name](path, X)
    for source in (path, path.parent):  # the one file of a folder, too
        data = of(source, tmp_path)
        assert {split: len(found.images) for split, found in data.splits.items()} == {
            "train": 32,
            "valid": 4,
            "test": 4,
        }
        assert (data.shape, data.levels, data.attributes) == ((3,), 0, ())
        everything = {split: take(found.images, np.arange(len(found.images))) for split, found in data.splits.items()}
        # In one split each, and back in the file's units up to float32.
        back = np.concatenate([data.scaling.to_user(x) for x in everything.values()])
        order, expected = np.argsort(back[:, 1]), np.argsort(X[:, 1])
        np.testing.assert_allclose(back[order], X[expected], rtol=3e-7, atol=1e-9)
        # mean 0 and variance 1, of the training split.
        train = everything["train"].astype(np.float64)
        np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(train.std(axis=0), 1, rtol=1e-6)
        np.testing.assert_array_equal(to_model(everything["test"], 0), everything["test"])
    # The values decide, not their format.
    WRITERS["a.npy"](tmp_path / "other.npy", X)
    assert fingerprint(data.splits["train"].images) == fingerprint(
        of(tmp_path / "other.npy", tmp_path).splits["train"].images
    )
    assert any("no splits: 32 for train" in note for note in data.notes)
    assert any("float64 is converted" in note for note in data.notes) == (
        name in ("double.npy", "header.csv") or "csv" in name.lower()
    )


def test_another_value_is_another_fingerprint(tmp_path):
    prints = set()
    for i, change in enumerate((0, 1e-3)):
        np.save(tmp_path / f"{i}.npy", X + np.float32(change))
        prints.add(fingerprint(of(tmp_path / f"{i}.npy", tmp_path).splits["train"].images))
    assert len(prints) == 2


@pytest.mark.parametrize("shape", [(3,), (5, 2), (2, 4, 3)], ids=str)
def test_statistics_are_of_the_last_axis(tmp_path, shape):
    x = np.random.default_rng(1).normal(size=(20, *shape)) * np.arange(1, shape[-1] + 1)
    np.savez(tmp_path / "a.npz", train=x, test=x[:4] + 1, valid=x[:2])
    data = of(tmp_path / "a.npz", tmp_path, shape)
    assert [len(data.split(name).images) for name in ("train", "valid", "test")] == [20, 2, 4]
    axes = tuple(range(x.ndim - 1))
    np.testing.assert_allclose(data.scaling.mean, x.mean(axis=axes), rtol=1e-12)
    np.testing.assert_allclose(data.scaling.std, x.std(axis=axes), rtol=1e-12)
    # The volume is the log-determinant of the whole map.
    assert data.scaling.log_volume(shape) == pytest.approx(np.log(np.broadcast_to(x.std(axis=axes), shape)).sum())
    np.testing.assert_allclose(data.scaling.to_user(data.split("test").images[1]), x[1] + 1, rtol=1e-6, atol=1e-6)
    # Held-out examples by the training split's moments.
    np.testing.assert_allclose(
        data.split("test").images[0], ((x[0] + 1 - x.mean(axis=axes)) / x.std(axis=axes)).astype(np.float32), rtol=1e-6
    )


def test_splits_of_a_folder_and_labels(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, n in (("train", 20), ("test", 5)):
        np.savez(folder / f"{name}.npz", x=X[:n], labels=np.arange(n))
    data = of(folder, tmp_path)
    assert data.attributes == ("label",)
    assert list(data.splits) == ["train", "test"]
    assert data.split("test").attributes.tolist() == [[0], [1], [2], [3], [4]]
    np.savez(tmp_path / "one.npz", x=X, labels=np.arange(N) % 3)
    data = of(tmp_path / "one.npz", tmp_path)
    for split in data.splits.values():
        back = data.scaling.to_user(take(split.images, np.arange(len(split.images))))
        rows = [int(np.abs(X[:, 1] - row[1]).argmin()) for row in back]
        assert split.attributes[:, 0].tolist() == [row % 3 for row in rows]
    np.savez(tmp_path / "some.npz", train=X, train_labels=np.arange(N), test=X[:5])
    data = of(tmp_path / "some.npz", tmp_path)
    assert data.attributes == ()
    assert "labels are left out: not every split has them" in data.notes


def test_few_examples_and_constant_dimensions_are_said(tmp_path):
    x = X[:9].astype(np.float64)
    x[:, 1] = 0.1
    np.save(tmp_path / "a.npy", x)
    data = of(tmp_path / "a.npy", tmp_path)
    assert list(data.splits) == ["train"]
    assert data.scaling.std[1] == 1
    assert any(note.startswith("1 of 3 dimensions are constant") and "(1)" in note for note in data.notes)
    np.save(tmp_path / "a.npy", np.ones((9, 3)))
    refused(tmp_path / "a.npy", tmp_path, "every value is constant")


def test_an_npy_is_mapped_and_not_read(tmp_path):
    x = np.random.default_rng(0).standard_normal((200_000, 16), np.float32)
    np.save(tmp_path / "a.npy", x)
    of(tmp_path / "a.npy", tmp_path, (16,))
    tracemalloc.start()
    try:
        data = of(tmp_path / "a.npy", tmp_path, (16,))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The places of the examples, 8 bytes each, and not their 64.
    assert held < x.nbytes / 4
    assert data.split("train").images[0].dtype == np.float32


def with_value(value, at=(7, 1)):
    x = X.astype(np.float64)
    x[at] = value
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (with_value(np.nan), r"got nan at \[7, 1\], expected finite"),
        (with_value(np.inf, (0, 0)), r"got inf at \[0, 0\]"),
        (with_value(1e39), r"got 1e\+39 at \[7, 1\]"),
        (X.astype(complex), "holds complex128; expected real numbers"),
        (X > 0, "holds bool"),
        (X.astype(str), "holds <U"),
        (np.array([[{}]] * N, dtype=object), "Python objects, which are never read"),
        (np.zeros(N, dtype=[("a", "f4")]), "expected real numbers"),
        (X[:0], r"got an array of shape \(0, 3\)"),
        (X[:, :2], r"got an array of shape \(40, 2\) in .*, expected \[n, 3\]"),
        (X[:, 0], r"shape \(40,\)"),
        (X[:, :, None], r"shape \(40, 3, 1\)"),
        (np.float32(3), r"shape \(\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_array_is_refused_in_npy_and_npz(tmp_path, x, message):
    for name, save in (("a.npy", np.save), ("a.npz", lambda path, x: np.savez(path, x=x))):
        save(tmp_path / name, x)
        refused(tmp_path / name, tmp_path, message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n1,2,3\n4,x,6\n", r"line 3, column 2 \(b\): got 'x', expected a finite number"),
        ("1,2,3\n4,,6\n", "line 2, column 2: got no value"),
        ("1,2,3\n4,nan,6\n", "line 2, column 2: got 'nan'"),
        ("1,2,3\n4,5,1e999\n", "line 2, column 3: got '1e999'"),
        ("1,2,3\n4,5,1_0\n", "line 2, column 3: got '1_0'"),
        ("1,2,3\n4,5\n", "line 2 has 2 cells, and the first 3"),
        ("a,b,c\n", "no line of numbers"),
        ("", "no line of numbers"),
        ('1,"2,3\n', "not a CSV file"),
        ("1,2,3\n4,\ud800,6\n", "not a CSV file in UTF-8"),
    ],
)
def test_a_wrong_csv_is_refused_with_line_and_column(tmp_path, text, message):
    (tmp_path / "a.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    refused(tmp_path / "a.csv", tmp_path, message)


class Trap:
    def __reduce__(self):
        return (exec, ("raise SystemExit('it ran')",))


def test_damaged_and_hostile_files_are_refused_and_run_nothing(tmp_path):
    np.save(tmp_path / "whole.npy", X)
    whole = (tmp_path / "whole.npy").read_bytes()
    faults = {
        "short.npy": whole[:-1],
        "long.npy": whole + b"0",
        "empty.npy": b"",
        "header.npy": whole[:40],
        "pickle.npy": pickle.dumps(Trap()),
        "text.npy": b"not numpy at all, and long enough to be something",
        "none.npz": b"PK\x03\x04",
        "pickle.npz": pickle.dumps(Trap()),
    }
    for name, data in faults.items():
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, tmp_path, name)
    # Every cut and many a flipped byte: refused, or what it says.
    for place in range(0, 128, 3):
        flipped = bytearray(whole)
        flipped[place] ^= 0x55
        (tmp_path / "flipped.npy").write_bytes(flipped)
        with pytest.raises(BadInput):
            of(tmp_path / "flipped.npy", tmp_path)


def declared(shape, dtype="<f4"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize("shape", [(2**40, 3), (2**62, 2**62), (40, 3)], ids=str)
def test_no_memory_is_taken_for_what_a_header_declares(tmp_path, shape):
    (tmp_path / "a.npy").write_bytes(declared(shape))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", declared(shape))
    for name in ("a.npy", "a.npz"):
        refused(tmp_path / name, tmp_path, "damaged")


def test_an_archive_that_inflates_without_measure_is_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "zeros.npz", x=np.zeros((300_000, 3)))
    refused(tmp_path / "zeros.npz", tmp_path, "compressed too far")
    with zipfile.ZipFile(tmp_path / "lzma.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", b"x")
    refused(tmp_path / "lzma.npz", tmp_path, "another way than by numpy")
    np.savez(tmp_path / "a.npz", x=X)
    monkeypatch.setattr(array_files, "MAX_UNPACKED", 100)
    refused(tmp_path / "a.npz", tmp_path, "at most 100 are read; save them as .npy")


def test_what_is_no_arrays_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("1")
    refused(tmp_path / "a.txt", tmp_path, r"expected a .npy, .npz or .csv file, or a folder")
    refused(tmp_path / "none.npy", tmp_path, "does not exist")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder", tmp_path, "it has none")
    for name in ("a", "b"):
        np.save(tmp_path / "folder" / f"{name}.npy", X)
    refused(tmp_path / "folder", tmp_path, r"it has a.npy, b.npy")
    np.savez(tmp_path / "two.npz", a=X, b=X)
    refused(tmp_path / "two.npz", tmp_path, "it has a, b")
    np.savez(tmp_path / "labels.npz", x=X, labels=np.arange(3))
    refused(tmp_path / "labels.npz", tmp_path, r"labels of shape \(3,\)")
    np.savez(tmp_path / "test.npz", train=X, test=X[:, :2])
    refused(tmp_path / "test.npz", tmp_path, r"shape \(40, 2\) in .*test.npz: test")


def test_examples_to_encode_come_in_their_own_units(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.testing.assert_array_equal(read_examples(tmp_path / "a.npy", (3,)), X)
    np.savez(tmp_path / "b.npz", train=X)
    with pytest.raises(BadInput, match="expected one array"):
        read_examples(tmp_path / "b.npz", (3,))
    with pytest.raises(BadInput, match=r"--input: got an array of shape \(40, 3\)"):
        read_examples(tmp_path / "a.npy", (4,))
