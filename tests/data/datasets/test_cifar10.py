"""CIFAR-10's files, made here byte for byte as Python 2 pickled them: what they hold is read, and nothing in them is run."""

import gzip
import io
import pickle
import tarfile

import numpy as np
import pytest

from sde_vae.data.datasets.cifar10_batches import BINARY, PYTHON
from sde_vae.data.datasets.load import load
from sde_vae.data.io import tar
from sde_vae.errors import BadInput
from tests.helpers.files import noise, options, stacked, write

N = 3  # images in each of the six batches
IMAGES = noise(6 * N, 32, 32)
LABELS = np.arange(6 * N) % 10
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


class Python2:
    """A pickle as Python 2's cPickle writes it with protocol 2: text is bytes, in SHORT_BINSTRING or BINSTRING."""

    def __init__(self, value):
        self.data = b"\x80\x02" + self.of(value) + b"."

    def of(self, value) -> bytes:
        if isinstance(value, str | bytes):
            raw = value if isinstance(value, bytes) else value.encode("latin1")
            return b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + len(raw).to_bytes(4, "little") + raw
        if isinstance(value, np.ndarray):
            return self.array(value)
        if isinstance(value, list):
            return b"](" + b"".join(map(self.of, value)) + b"e"
        if isinstance(value, dict):
            return b"}(" + b"".join(self.of(k) + self.of(v) for k, v in value.items()) + b"u"
        return b"J" + int(value).to_bytes(4, "little", signed=True)

    def array(self, a) -> bytes:
        made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + self.of("b") + b"\x87R"
        dtype = b"cnumpy\ndtype\n" + self.of(a.dtype.str[1:]) + b"K\x00K\x01\x87R(K\x03" + self.of(a.dtype.str[0])
        dtype += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        shape = b"(" + b"".join(map(self.of, a.shape)) + b"t"
        return made + b"(K\x01" + shape + dtype + b"\x89" + self.of(a.tobytes()) + b"tb"


def rows(images):
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def trees():
    """File name -> what it holds."""
    found = {}
    for i, name in enumerate(PYTHON.batches):
        part = slice(i * N, (i + 1) * N)
        found[name] = {
            "batch_label": "testing batch 1 of 1" if name == "test_batch" else f"training batch {i + 1} of 5",
            "labels": LABELS[part].tolist(),
            "data": rows(IMAGES[part]),
            "filenames": [f"thing_s_{j:06}.png" for j in range(N)],
        }
    found["batches.meta"] = {"num_cases_per_batch": N, "label_names": CLASSES, "num_vis": 3072}
    return found


def python2(changed=None):
    return {name: Python2(tree).data for name, tree in (trees() | (changed or {})).items()}


def python3(protocol):
    """As a user's own Python 3 pickles them again."""
    return {name: pickle.dumps(tree, protocol) for name, tree in trees().items()}


def binary():
    files = {
        f"{name}.bin": np.concatenate([np.array(tree["labels"], np.uint8)[:, None], tree["data"]], 1).tobytes()
        for name, tree in trees().items()
        if "data" in tree
    }
    return files | {"batches.meta.txt": "\n".join([*CLASSES, ""]).encode()}


def packed(path, files, folder="cifar-10-batches-py/", mode="w:gz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        entry = tarfile.TarInfo(folder.rstrip("/") or "x")
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
        for name, data in files.items():
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
                continue
            entry = tarfile.TarInfo(folder + name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def read(path, **changes):
    return load("cifar10", options(path, path / "cache", **{"image_size": 32} | changes))


GZ = "cifar-10-python.tar.gz"
LAYOUTS = {
    "archive in the folder": lambda root: packed(root / GZ, python2()) and root,
    "archive itself": lambda root: packed(root / "renamed.bin", python2()),
    "archive one below": lambda root: packed(root / "down" / GZ, python2()) and root,
    "archive of a browser": lambda root: packed(root / "cifar-10-python.tar", python2(), mode="w:") and root,
    "archive without folder": lambda root: packed(root / "cifar-10-python.tgz", python2(), "./") and root,
    "folder itself": lambda root: write(root / "cifar-10-batches-py", python2()),
    "folder in the folder": lambda root: write(root / "cifar-10-batches-py", python2()).parent,
    "folder one below": lambda root: write(root / "down" / "cifar-10-batches-py", python2()).parent.parent,
    "renamed folder": lambda root: write(root / "mine", python2()).parent,
    "both": lambda root: (
        write(root / "cifar-10-batches-py", python2()) and packed(root / GZ, {"test_batch": b""}) and root
    ),
    "without the names of the classes": lambda root: write(
        root, {n: d for n, d in python2().items() if n != "batches.meta"}
    ),
    "binary archive": lambda root: packed(root / "cifar-10-binary.tar.gz", binary(), "cifar-10-batches-bin/") and root,
    "binary archive itself": lambda root: packed(root / "x.tar.gz", binary(), "cifar-10-batches-bin/"),
    "binary folder": lambda root: write(root / "cifar-10-batches-bin", binary()).parent,
    **{f"pickled anew, protocol {p}": lambda root, p=p: write(root, python3(p)) for p in (2, 3, 4, 5)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_images_and_labels(tmp_path, layout, capsys):
    data = read(LAYOUTS[layout](tmp_path))
    assert set(data.splits) == {"train", "test"}
    assert data.attributes == ("label",)
    for name, part in (("train", slice(0, 5 * N)), ("test", slice(5 * N, None))):
        split = data.split(name)
        np.testing.assert_array_equal(stacked(split.images), IMAGES[part])
        np.testing.assert_array_equal(split.attributes[:, 0], LABELS[part])
        assert split.images.flags.c_contiguous
    assert capsys.readouterr().out == ""


def test_files_besides_are_counted_and_fewer_images_are_said(tmp_path, capsys):
    less = {"batches.meta": trees()["batches.meta"] | {"num_cases_per_batch": 10_000}}
    read(packed(tmp_path / GZ, python2(less) | {"readme.html": b"", "more": b"", "._test_batch": b""}))
    out = capsys.readouterr().out
    assert "2 files left out, of other names than " in out
    assert "has 18 of the 60000 images that batches.meta declares" in out


def tree(name, **changed):
    return lambda: python2({name: {k: v for k, v in (trees()[name] | changed).items() if v is not None}})


def member(name, kind, **fields):
    def files():
        info = tarfile.TarInfo(name)
        info.type = kind
        for field, value in fields.items():
            setattr(info, field, value)
        return {**python2(), name: info}

    return files


BAD = {
    "a pickle that calls": (
        lambda: python2() | {"data_batch_2": b"\x80\x02cos\nsystem\nU\x04true\x85R."},
        "data_batch_2: refused: it calls for os.system, which is no part of a file of arrays, and was not run",
    ),
    "meta that calls": (
        lambda: python2() | {"batches.meta": pickle.dumps(print, 2)},
        "batches.meta: refused: it calls for __builtin__.print",
    ),
    "cut pickle": (lambda: python2() | {"test_batch": python2()["test_batch"][:-9]}, "test_batch: damaged or not a"),
    "no pickle": (lambda: python2() | {"test_batch": b"<html>"}, "test_batch: damaged or not a pickle"),
    "empty": (lambda: python2() | {"test_batch": b""}, "test_batch: damaged or not a pickle"),
    "a list": (lambda: python2() | {"test_batch": Python2([1]).data}, "holds one list, expected a dict"),
    "no batch": (lambda: {n: d for n, d in python2().items() if n != "data_batch_4"}, "has no data_batch_4; get it"),
    "no data": (tree("data_batch_1", data=None), r"data_batch_1: its data must be uint8 \[n, 3072\], got none"),
    "data of another type": (
        tree("data_batch_1", data=np.zeros((N, 3072), np.float32)),
        r"got float32 \[3, 3072\]; get it anew",
    ),
    "data of another shape": (tree("data_batch_1", data=np.zeros((N, 99), np.uint8)), r"got uint8 \[3, 99\]"),
    "data without rows": (
        tree("data_batch_1", data=np.zeros((0, 3072), np.uint8), labels=[], filenames=[]),
        "data_batch_1: has no images",
    ),
    "fewer labels": (tree("test_batch", labels=[1]), "test_batch: has 3 images and 1 labels"),
    "no labels": (tree("test_batch", labels=None), "test_batch: its labels must be a list of whole numbers"),
    "labels of CIFAR-100": (tree("test_batch", labels=[1, 99, 3]), r"test_batch: has a label outside 0 \.\. 9"),
    "labels below 0": (tree("test_batch", labels=[1, -1, 3]), r"has a label outside 0 \.\. 9"),
    "labels in words": (tree("test_batch", labels=["a", "b", "c"]), "labels must be a list of whole numbers"),
    "fewer names": (tree("test_batch", filenames=["a"]), "has 3 images and 1 filenames"),
    "classes": (tree("batches.meta", label_names=CLASSES[:9]), "batches.meta must have 10 different names of classes"),
    "equal classes": (tree("batches.meta", label_names=["a"] * 10), "must have 10 different names of classes"),
    "binary, cut": (lambda: binary() | {"test_batch.bin": b"0" * 3074}, "test_batch.bin: has 3074 bytes, not a mult"),
    "binary, label": (lambda: binary() | {"test_batch.bin": b"\x0a" * 3073}, "has a label outside"),
    "binary, none": (lambda: binary() | {"test_batch.bin": b""}, "test_batch.bin: has no images"),
    "binary, classes": (lambda: binary() | {"batches.meta.txt": b"a b"}, "must have 10 different names"),
}
BAD_TARS = {
    "up": (lambda: python2() | {"../../x": b""}, r"the name 'cifar-10-batches-py/../../x' leads out of the archive"),
    "root": (member("/etc/x", tarfile.REGTYPE), "the name '/etc/x' leads out of the archive"),
    "drive": (member("c:/x", tarfile.REGTYPE), "leads out of the archive"),
    "backslash": (member("..\\x", tarfile.REGTYPE), "leads out of the archive"),
    "link": (member("data_batch_9", tarfile.SYMTYPE, linkname="/etc/passwd"), "'data_batch_9' is a link"),
    "hard link": (member("a", tarfile.LNKTYPE, linkname="b"), "'a' is a link: pack what it points to"),
    "device": (member("a", tarfile.CHRTYPE), "'a' is neither a plain file nor a folder"),
    "pipe": (member("a", tarfile.FIFOTYPE), "'a' is neither a plain file nor a folder"),
    "escape": (member("\x1b[31m" + "x" * 90, tarfile.FIFOTYPE), r"'\\x1b\[31mxxx.*' is neither"),
    "twice": (lambda: python2() | {"./test_batch": b""}, "has test_batch twice"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_in_a_line(tmp_path, case):
    files, message = BAD[case]
    for path in (write(tmp_path / "folder", files()), packed(tmp_path / "archive.tar.gz", files())):
        with pytest.raises(BadInput, match=message) as error:
            read(path)
        assert "\n" not in str(error.value)
        assert str(error.value).isprintable()


@pytest.mark.parametrize("case", BAD_TARS)
def test_unsafe_archives_are_refused_in_a_line(tmp_path, case):
    files, message = BAD_TARS[case]
    with pytest.raises(BadInput, match=message) as error:
        read(packed(tmp_path / GZ, files()))
    assert str(error.value).isprintable()


@pytest.mark.parametrize("bound", ["MAX_BYTES", "MAX_TOTAL", "MAX_MEMBERS"])
def test_archives_too_large_are_refused(tmp_path, bound, monkeypatch):
    path = packed(tmp_path / GZ, python2())
    monkeypatch.setattr(tar, bound, 4)
    with pytest.raises(BadInput, match=r"over 4 files|bytes, over 4;|inflates to over 4 bytes"):
        read(path)


@pytest.mark.parametrize("cut", [0, 10, 600, -50])
def test_a_cut_archive_is_refused(tmp_path, cut):
    whole = packed(tmp_path / GZ, python2()).read_bytes()
    plain = gzip.decompress(whole)
    for data in (whole[:cut], plain[: len(plain) // 3 if cut < 0 else cut]):
        (tmp_path / GZ).write_bytes(data)
        with pytest.raises(BadInput, match="get it anew") as error:
            read(tmp_path / GZ)
        assert "\n" not in str(error.value)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(
        BadInput, match=r"config\.data\.dir: .* has no cifar-10-python\.tar\.gz, .*\(searched: "
    ) as error:
        read(tmp_path)
    assert "tensorflow" not in str(error.value)
    write(tmp_path, {"cifar10/3.0.2/dataset_info.json": b""})
    with pytest.raises(BadInput, match=r"set config\.data\.name=tfds:cifar10"):
        read(tmp_path)
    with pytest.raises(BadInput, match="not given; expected cifar-10-python"):
        load("cifar10", options(None, tmp_path))


def test_another_size_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"got 16, 3, but the images of cifar10 are 32x32x3"):
        read(write(tmp_path, binary()), image_size=16)


def test_the_versions_name_the_six_batches():
    assert PYTHON.batches == (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
    assert BINARY.batches == tuple(f"{name}.bin" for name in PYTHON.batches)
