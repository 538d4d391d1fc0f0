"""A folder or zip of pictures: exact round trips, the splits, and a clear refusal for every bad input."""

import os
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from sde_vae.data.dataset import fingerprint as digest
from sde_vae.data.datasets.folder import folder
from sde_vae.data.io.archive import fingerprint, open_files
from sde_vae.errors import BadInput
from sde_vae.printing import printable
from tests.helpers.files import encoded, noise, options, pack, smooth, stacked, write

N = 30
IMAGES = noise(N)
FILES = {f"sub/{i:02}.png" if i % 3 else f"{i:02}.png": encoded(x) for i, x in enumerate(IMAGES)}
ORDER = sorted(range(N), key=list(FILES).__getitem__)
SOURCES = {
    "folder": lambda path, files: write(path, files),
    "zip": lambda path, files: pack(path / "pictures.zip", files),
    "stored zip": lambda path, files: pack(path / "pictures.zip", files, zipfile.ZIP_STORED),
    "zip of one folder": lambda path, files: pack(path / "p.zip", {f"all/{n}": d for n, d in files.items()}),
}


@pytest.fixture(params=SOURCES)
def source(request, tmp_path):
    return lambda files: SOURCES[request.param](tmp_path / "source", files)


def load(path, tmp_path, **changes):
    return folder(options(path, tmp_path / "cache", **changes))


def refused(tmp_path, path, match, **changes):
    with pytest.raises(BadInput, match=match) as error:
        load(path, tmp_path, **changes)
    assert "\n" not in str(error.value)
    assert len(printable(str(error.value))) < 1000
    left = list((tmp_path / "cache").iterdir()) if (tmp_path / "cache").exists() else []
    assert left == []  # nothing half-built


def test_every_picture_is_in_one_split_exactly(tmp_path, source):
    data = load(source(FILES | {"README.txt": b"not a picture", ".hidden.png": b"nor this"}), tmp_path)
    assert {name: len(split.images) for name, split in data.splits.items()} == {"train": 24, "valid": 3, "test": 3}
    found = np.concatenate([stacked(split.images) for split in data.splits.values()])
    assert sorted(x.tobytes() for x in found) == sorted(x.tobytes() for x in IMAGES)
    assert data.shape == (8, 8, 3)
    assert data.levels == 256
    assert all(split.attributes is None for split in data.splits.values())


def test_the_held_out_are_always_the_same(tmp_path, source):
    a = load(source(FILES), tmp_path)
    b = load(write(tmp_path / "elsewhere", FILES), tmp_path / "other")
    assert {n: digest(s.images) for n, s in a.splits.items()} == {n: digest(s.images) for n, s in b.splits.items()}


def test_folders_called_train_and_test_are_the_splits(tmp_path, source):
    names = [f"{'train' if i < 20 else 'test'}/{i:02}.png" for i in range(N)]
    data = load(source(dict(zip(names, map(encoded, IMAGES), strict=True))), tmp_path)
    np.testing.assert_array_equal(stacked(data.split("train").images), IMAGES[:20])
    np.testing.assert_array_equal(stacked(data.split("test").images), IMAGES[20:])
    assert set(data.splits) == {"train", "test"}


def test_attributes_go_with_their_pictures(tmp_path, source):
    """Each picture's attributes are computed from its pixels, so that a row that slipped would show."""
    lines = [f"{n},{IMAGES[i].sum()},{IMAGES[i][0, 0, 0] / 8}" for i, n in enumerate(FILES)]
    table = "\ufefffile, total,corner\r\n" + "\r\n".join(reversed(lines))
    files = FILES | {"attributes.csv": table.encode(), "07.png": b"corrupt"}
    with pytest.raises(BadInput, match=r"attributes\.csv: no line for 07\.png"):
        load(source(files), tmp_path)
    files["attributes.csv"] += b"\n07.png,0,0"
    data = load(source(files), tmp_path, skip_corrupt=True)
    assert data.attributes == ("total", "corner")
    for split in data.splits.values():
        x = stacked(split.images).astype(float)
        np.testing.assert_array_equal(split.attributes, np.stack([x.sum((1, 2, 3)), x[:, 0, 0, 0] / 8], 1))
    assert sum(len(s.images) for s in data.splits.values()) == N


def test_a_changed_folder_is_decoded_again(tmp_path):
    path = write(tmp_path / "source", {"a.png": encoded(IMAGES[0])})
    before = fingerprint(path)
    assert load(path, tmp_path).split("train").images[0][0, 0, 0] == IMAGES[0, 0, 0, 0]
    os.utime(path / "a.png", ns=(0, 0))
    assert fingerprint(path) != before
    write(path, {"b.png": encoded(IMAGES[1])})
    np.testing.assert_array_equal(stacked(load(path, tmp_path).split("train").images), IMAGES[:2])
    assert not np.array_equal(
        load(path, tmp_path, image_size=4).split("train").images[0],
        load(path, tmp_path, image_size=4, filter="box").split("train").images[0],
    )


def test_no_folder(tmp_path):
    refused(tmp_path, None, r"config\.data\.dir: not given")
    refused(tmp_path, tmp_path / "nowhere", r"config\.data\.dir: .*nowhere does not exist")
    refused(tmp_path, write(tmp_path, {"a.txt": b""}) / "a.txt", "neither a folder nor a readable .zip")
    refused(tmp_path, write(tmp_path / "empty", {"a.txt": b""}), "has no picture in PNG, .*; it has 1 .txt")
    refused(tmp_path, pack(tmp_path / "empty.zip", {}), "has no picture in PNG, .*; it has no files at all")


BAD = {
    "corrupt": ({"b.png": b"\x89PNG\r\n\x1a\n" + bytes(99)}, r"b\.png: (corrupt|not a picture)"),
    "text": ({"b.jpg": b"hello"}, r"b\.jpg: not a picture in PNG, JPEG"),
    "empty": ({"b.jpeg": b""}, r"b\.jpeg: not a picture in PNG, JPEG"),
    "truncated": ({"b.png": encoded(IMAGES[1])[:-30]}, r"b\.png: corrupt or truncated"),
    "truncated jpeg": ({"b.jpg": encoded(smooth(64, 64), "JPEG")[:-300]}, r"b\.jpg: corrupt or truncated"),
    "size": (
        {"b.png": encoded(noise(1, 9, 9)[0])},
        r"b\.png: is 9x9, while .*a\.png is 8x8: .*fit=none; cover .*contain",
    ),
    "alpha": ({"b.png": encoded(noise(1, channels=4)[0])}, r"b\.png: is transparent .* config.data.background"),
    "oblong": ({"b.png": encoded(noise(1, 8, 9)[0])}, r"b\.png: is 9x8, while .*a\.png is 8x8"),
    "deep": ({"b.tif": encoded(Image.new("F", (8, 8)), "TIFF")}, r"b\.tif: is of mode F, .*convert it"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_picture_is_refused_or_left_out(tmp_path, source, case):
    bad, match = BAD[case]
    path = source({"a.png": encoded(IMAGES[0]), **bad, "c.png": encoded(IMAGES[2])})
    refused(tmp_path, path, match, fit="none")
    for _ in range(2):  # built, and reopened
        data = load(path, tmp_path, skip_corrupt=True, fit="none")
        np.testing.assert_array_equal(stacked(data.split("train").images), IMAGES[[0, 2]])
        (line,) = data.skipped
        assert next(iter(bad)) in line


def test_all_bad_is_an_error(tmp_path, source):
    path = source({"a.png": b"", "b.png": b""})
    refused(
        tmp_path,
        path,
        r"2 of 2 files cannot be used: .*a\.png: not a picture .*b\.png: not a picture",
        skip_corrupt=True,
    )


def test_a_picture_outside_of_the_splits(tmp_path, source):
    files = {"train/a.png": b"", "extra/b.png": b"", "train/c.png": b""}
    refused(
        tmp_path,
        source(files),
        r"train/ is a split, and there are pictures outside .*, in .*extra/: expected all in train/",
    )


@pytest.mark.parametrize("inside", ["", "all/"])
@pytest.mark.parametrize("name", ["TEST", "test", "val", "valid", "Validation"])
def test_a_folder_that_looks_like_a_split_without_train(tmp_path, name, inside):
    """Its pictures would be mixed with the others: those of a test set would be trained on."""
    pictures = {f"{inside}{folder}/{i}.png": b"" for folder in (name, "other") for i in range(9)}
    match = rf"config\.data\.dir: .*{inside}{name}/ looks like a split.* expected train/, valid/, test/"
    refused(tmp_path, write(tmp_path / "source", pictures), match)
    alone = {f"{inside}{name}/{i}.png": b"" for i in range(9)}
    refused(tmp_path, write(tmp_path / "alone", alone), match)


def test_one_folder_of_another_name_and_pictures_called_like_splits(tmp_path):
    files = {f"mine/{name}": encoded(x) for name, x in zip(("test.png", "train.png", "val.png"), IMAGES, strict=False)}
    data = load(write(tmp_path / "source", files), tmp_path)
    np.testing.assert_array_equal(stacked(data.split("train").images), IMAGES[:3])


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (b"", "line 1 must be"),
        (b"file\na.png\nb.png", "line 1 must be the word file .* separated by comma, semicolon or tab"),
        (b"file|x\na.png|1\nb.png|2", "line 1 must be the word file .* separated by comma, semicolon or tab"),
        (b"file,x,x\na.png,1,2\nb.png,3,4", "line 1 must be"),
        (b"file,x\na.png,1\n", r"no line for b\.png"),
        (b"file,x\na.png,1\nb.png,2\nc.png,3", r"no picture for c\.png"),
        (b"file,x\na.png,1\na.png,1\nb.png,2", r"line 3: a second line for 'a\.png'"),
        (b"file,x\na.png,1\n./a.png,1\nb.png,2", r"line 3: a second line for 'a\.png'"),
        (b"file,x\na.png,1\nb.png", r"line 3: 'b\.png' has 0 values, .* 1 names \(separated by a comma\)"),
        (b"file;x\na.png;1\nb.png;1;2", r"line 3: 'b\.png' has 2 values, .* \(separated by a semicolon\)"),
        (b"file,x\na.png,1\nb.png,yes", "x: line 3 has 'yes', and other lines have numbers"),
        (b"file,x\na.png,1\nb.png,", "x: line 3 has no value"),
        (b"file,x\na.png,1\nb.png,nan", "x: line 3 has nan, which is not a finite"),
        (b"file,x\na.png,1\nb.png,-inf", "x: line 3 has -inf, which is not a finite"),
        (b"file,x\na.png,1\nb.png,1e39", "x: line 3 has 1e39, which is not a finite"),
        (b'file,x\na.png,1\nb.png,"1', "not a CSV file in UTF-8"),
        (b"file,x\n\xff.png,1", "not a CSV file in UTF-8"),
        ("file,x\na.png,1".encode("utf-16"), "not a CSV file in UTF-8"),
        (b"file,\x1b[31mx\na.png,1\nb.png,2", "line 1 must be"),
    ],
)
def test_a_bad_table(tmp_path, table, match):
    files = {"a.png": encoded(IMAGES[0]), "b.png": encoded(IMAGES[1]), "attributes.csv": table}
    refused(tmp_path, write(tmp_path / "source", files), rf"attributes\.csv: {match}")


def test_a_link_out_of_the_folder(tmp_path):
    path = write(tmp_path / "source", {"a.png": encoded(IMAGES[0])})
    write(tmp_path / "secret", {"b.png": encoded(IMAGES[1])})
    (path / "inner.png").symlink_to(path / "a.png")
    np.testing.assert_array_equal(stacked(load(path, tmp_path).split("train").images), IMAGES[[0, 0]])
    for link in (tmp_path / "secret" / "b.png", tmp_path / "secret"):
        (path / "outer.png").symlink_to(link)
        refused(tmp_path / "again", path, r"outer\.png: a link that leads out .* config\.data\.follow_links=True")
        (path / "outer.png").unlink()


def test_a_link_that_leads_nowhere(tmp_path):
    path = write(tmp_path / "source", {"a.png": encoded(IMAGES[0])})
    (path / "loop.png").symlink_to("pool.png")
    (path / "pool.png").symlink_to("loop.png")
    refused(tmp_path, path, r"(loop|pool)\.png: a link that leads nowhere", skip_corrupt=True)
    for name in ("loop.png", "pool.png"):
        (path / name).unlink()
    (path / "gone.png").symlink_to(path / "nothing.png")
    refused(tmp_path, path, r"gone\.png: a link that leads nowhere", skip_corrupt=True)


@pytest.mark.parametrize("name", ["../b.png", "x/../../b.png", "/b.png", "..\\b.png", "C:/b.png"])
def test_a_name_that_climbs_out_of_the_zip(tmp_path, name):
    path = pack(tmp_path / "a.zip", {"a.png": encoded(IMAGES[0]), name: encoded(IMAGES[1])})
    refused(tmp_path, path, "leads out of the zip", skip_corrupt=True)


def test_a_link_in_the_zip(tmp_path):
    info = zipfile.ZipInfo("b.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    refused(tmp_path, tmp_path / "a.zip", r"'b\.png' is a symbolic link")


def entry(path, offset, form, value):
    """Changes a field of the first entry of a zip's directory."""
    raw = bytearray(path.read_bytes())
    struct.pack_into(form, raw, raw.index(b"PK\x01\x02") + offset, value)
    path.write_bytes(raw)


def test_an_encrypted_zip(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.png": encoded(IMAGES[0])})
    entry(path, 8, "<H", 1)
    refused(tmp_path, path, r"'a\.png' is encrypted", skip_corrupt=True)


def test_a_zip_bomb(tmp_path):
    path = pack(tmp_path / "a.zip", {"a.png": bytes(2**22)})
    refused(tmp_path, path, r"'a\.png' inflates over 200 times", skip_corrupt=True)
    path = pack(tmp_path / "b.zip", {"a.png": encoded(IMAGES[0])})
    entry(path, 24, "<I", 2**31)
    refused(tmp_path, path, r"'a\.png' declares 2147483648 bytes", skip_corrupt=True)
    path = pack(tmp_path / "c.zip", {f"{i}.png": bytes(2**19) for i in range(9)})  # each too small to be looked at
    refused(tmp_path, path, "looks like a zip bomb", skip_corrupt=True)


def test_an_entry_that_holds_more_than_it_declares(tmp_path):
    """Only what is declared is read, whatever checksum the zip gives."""
    whole = encoded(IMAGES[0])
    path = pack(tmp_path / "a.zip", {"a.png": whole})
    entry(path, 24, "<I", len(whole) - 30)
    refused(tmp_path, path, r"a\.png: damaged, or not of the size the zip declares")
    entry(path, 16, "<I", zlib.crc32(whole[:-30]))
    refused(tmp_path, path, r"a\.png: corrupt or truncated")
    with open_files(path) as files:
        assert files.read("a.png") == whole[:-30]


def test_a_damaged_zip(tmp_path):
    raw = pack(tmp_path / "a.zip", {"a.png": encoded(IMAGES[0])}, zipfile.ZIP_STORED).read_bytes()
    (tmp_path / "cut.zip").write_bytes(raw[:-30])
    refused(tmp_path, tmp_path / "cut.zip", "neither a folder nor a readable .zip")
    (tmp_path / "flip.zip").write_bytes(raw[:60] + bytes([raw[60] ^ 1]) + raw[61:])
    refused(tmp_path, tmp_path / "flip.zip", r"a\.png: damaged")
    # A header whose name is as long as many files, which zipfile repeats in its message.
    raw = pack(tmp_path / "b.zip", {"a.png": bytes(range(256)) * 20}, zipfile.ZIP_STORED).read_bytes()
    (tmp_path / "long.zip").write_bytes(raw[:26] + struct.pack("<H", 4000) + raw[28:])
    refused(tmp_path, tmp_path / "long.zip", r"a\.png: damaged")


METHODS = {
    zipfile.ZIP_STORED: r"a\.png: damaged",
    zipfile.ZIP_DEFLATED: r"a\.png: damaged",
    zipfile.ZIP_BZIP2: r"'a\.png' is packed by method 12",
    zipfile.ZIP_LZMA: r"'a\.png' is packed by method 14",
}


@pytest.mark.parametrize("method", METHODS)
def test_what_is_hidden_behind_a_declared_size_is_not_inflated(tmp_path, method):
    path = pack(tmp_path / "a.zip", {"a.png": bytes(2**24)}, method)
    entry(path, 24, "<I", 100)
    tracemalloc.start()
    refused(tmp_path, path, METHODS[method])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_name_twice_in_the_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for x in IMAGES[:2]:
            file.writestr("a.png", encoded(x))
    refused(tmp_path, tmp_path / "a.zip", r"holds 'a\.png' twice")
