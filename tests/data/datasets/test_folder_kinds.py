"""Folders as people bring them: every kind loads, or is refused in one line that says what to do; and nothing passes in silence."""

import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from sde_vae.data.datasets.folder import folder, read_pictures
from sde_vae.errors import BadInput
from tests.helpers.files import encoded, noise, options, pack, smooth, stacked, write

N = 12
IMAGES = noise(N)
PNGS = {f"{i:02}.png": encoded(x) for i, x in enumerate(IMAGES)}


def load(path, **changes):
    """The data set, built and then read back from its cache."""
    data, again = (folder(options(path, path.parent / "cache", **changes)) for _ in range(2))
    assert (data.notes, data.attributes, data.values) == (again.notes, again.attributes, again.values)
    return data


def refused(path, match, **changes):
    with pytest.raises(BadInput, match=match) as error:
        load(path, **changes)
    assert "\n" not in str(error.value)
    assert str(error.value).isprintable()


def sizes(data):
    return {name: len(split.images) for name, split in data.splits.items()}


def some_note(data, *words):
    (line,) = [line for line in data.notes if all(word in line for word in words)]
    return line


# --- kinds of files

LOSSLESS = {"png": "PNG", "apng": "PNG", "bmp": "BMP", "tif": "TIFF", "tiff": "TIFF", "ppm": "PPM", "TIF": "TIFF"}
OTHERS = {"jpg": "JPEG", "jfif": "JPEG", "webp": "WEBP", "gif": "GIF", "avif": "AVIF", "jp2": "JPEG2000"}


@pytest.mark.parametrize("ending", LOSSLESS | OTHERS)
def test_every_kind_of_file_loads(tmp_path, ending):
    form = (LOSSLESS | OTHERS)[ending]
    data = load(write(tmp_path / "in", {f"{i:02}.{ending}": encoded(x, form) for i, x in enumerate(IMAGES)}))
    assert sizes(data) == {"train": 10, "valid": 1, "test": 1}
    assert not data.notes
    if ending in LOSSLESS:
        found = {stacked(split.images)[i].tobytes() for split in data.splits.values() for i in range(len(split.images))}
        assert found == {x.tobytes() for x in IMAGES}


def test_the_ending_does_not_decide_what_a_file_is(tmp_path):
    data = load(write(tmp_path / "in", {"a.jpg": PNGS["00.png"], "b.png": encoded(IMAGES[1], "BMP")}))
    np.testing.assert_array_equal(stacked(data.split("train").images), IMAGES[:2])


LEFT = {
    "notes.txt": b"",
    "README": b"",
    "Thumbs.db": b"",
    "IMG.HEIC": b"",
    "b.heic": b"",
    ".hidden.png": b"",
    "labels.csv": b"",
    "a.svg": b"",
}


@pytest.mark.parametrize("as_zip", [False, True])
def test_nothing_is_left_out_uncounted(tmp_path, as_zip, capsys):
    files = PNGS | LEFT
    files |= {"__MACOSX/._00.png": b""} if as_zip else {".git/a.png": b""}
    path = pack(tmp_path / "in.zip", files) if as_zip else write(tmp_path / "in", files)
    said = some_note(load(path), "left out: ")
    for part in (
        "2 .heic (a picture that is not read: convert it to PNG)",
        "1 .txt",
        "1 .db",
        "1 .csv",
        "1 .svg (a picture",
    ):
        assert part in said
    assert "1 without an ending" in said
    assert ("2 hidden files" if as_zip else "1 hidden file, 1 hidden folder") in said
    read_pictures(path, options(None, tmp_path))
    assert said.partition("left out: ")[2] in capsys.readouterr().out
    only = write(tmp_path / "only", {"a.heic": b"", "b.heic": b"", "c.zip": b""})
    refused(
        only, r"has no picture in PNG, .*; it has 2 \.heic \(a picture that is not read: convert it to PNG\), 1 \.zip"
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(write(tmp_path / "in", PNGS) / "pipe.png")
    assert "1 special file" in some_note(load(tmp_path / "in"), "left out")
    os.mkfifo(tmp_path / "pipe.zip")
    refused(tmp_path / "pipe.zip", "neither a folder nor a .zip")


def test_grey_among_colour_and_colour_in_a_grey_run(tmp_path, capsys):
    grey = noise(1, channels=1)[0]
    path = write(tmp_path / "in", PNGS | {"zz.png": encoded(grey)})
    data = load(path)
    assert "1 of 13 pictures: grey, its channel repeated" in some_note(data, "grey")
    assert any(np.array_equal(x, np.repeat(grey, 3, -1)) for s in data.splits.values() for x in stacked(s.images))
    # Lossless the other way too: colour without any.
    stored = write(tmp_path / "stored", {"a.png": encoded(np.repeat(grey, 3, -1)), "b.png": encoded(grey)})
    data = load(stored, channels=1)
    np.testing.assert_array_equal(stacked(data.split("train").images), np.stack([grey, grey]))
    assert "1 of 2 pictures: RGB without any colour" in some_note(data, "colour")
    refused(
        path, r"00\.png: is in colour, .* set it to 3, or config\.data\.to_grey=True", channels=1, skip_corrupt=True
    )
    data = load(path, channels=1, to_grey=True)
    assert "12 of 13 pictures: colour converted to grey" in some_note(data, "to_grey")
    with pytest.raises(BadInput, match=r"--input: .*00\.png: is in colour, .*config\.data\.to_grey=True"):
        read_pictures(path, options(None, tmp_path, channels=1))
    names, images = read_pictures(path, options(None, tmp_path, channels=1, to_grey=True))
    assert (len(names), images.shape) == (13, (13, 8, 8, 1))
    assert "12 of 13 pictures: colour converted to grey" in capsys.readouterr().out


KINDS_OF_ALPHA = {
    "colour": Image.fromarray(noise(1, channels=4)[0]),
    "grey": Image.fromarray(noise(1, channels=4)[0]).convert("LA"),
    "palette": Image.fromarray(noise(1)[0]).quantize(4),
}


@pytest.mark.parametrize("kind", KINDS_OF_ALPHA)
def test_transparent_pictures(tmp_path, kind):
    how = {"transparency": 0} if kind == "palette" else {}
    data = encoded(KINDS_OF_ALPHA[kind], **how)
    path = write(tmp_path / "in", {"a.png": data})
    refused(path, r"a\.png: is transparent in places: set config\.data\.background, .* or config\.data\.channels=4")
    rgba = np.asarray(Image.open(path / "a.png").convert("RGBA"))
    for background in ((255,), (10, 20, 30)):
        found = load(path, background=background)
        alpha = rgba[..., 3:] / 255
        expected = alpha * rgba[..., :3] + (1 - alpha) * np.array(background)
        np.testing.assert_allclose(found.split("train").images[0], expected, atol=1)
        assert "1 of 1 pictures: transparent in places" in some_note(found, "background")
    whole = write(tmp_path / "whole", {"a.png": data, "b.png": PNGS["00.png"]})
    found = load(whole, channels=4)
    np.testing.assert_array_equal(found.split("train").images[0], rgba)
    np.testing.assert_array_equal(found.split("train").images[1], np.dstack([IMAGES[0], np.full((8, 8), 255)]))
    assert "1 of 2 pictures: without alpha" in some_note(found, "alpha")


def test_what_is_read_otherwise_is_said(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 3
    frames = [Image.fromarray(x) for x in IMAGES[:3]]
    wide = noise(1, channels=1)[0].astype(np.uint16) * 256 + 7
    files = {
        "16.png": encoded(Image.fromarray(wide[..., 0])),
        "16.tif": encoded(Image.fromarray(wide[..., 0]), "TIFF"),
        "cmyk.jpg": encoded(Image.fromarray(smooth(8, 8)).convert("CMYK"), "JPEG"),
        "moves.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "moves.webp": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True),
        "moves.png": encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "pages.tif": encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        "turned.jpg": encoded(smooth(8, 8), "JPEG", exif=turned),
        "small.png": encoded(noise(1, 4, 4)[0]),
    }
    data = load(write(tmp_path / "in", files))
    for text in (
        "2 of 9 pictures: 16 bits",
        "1 of 9 pictures: CMYK",
        "4 of 9 pictures: several frames",
        "1 of 9 pictures: turned upright",
    ):
        some_note(data, text)
    some_note(data, "1 of 9 pictures: smaller than the images, enlarged")
    found = dict(zip(sorted(files), stacked(data.split("train").images), strict=True))
    for name in ("moves.webp", "moves.png", "pages.tif"):
        np.testing.assert_array_equal(found[name], IMAGES[0])
    for name in ("16.png", "16.tif"):
        np.testing.assert_array_equal(found[name], np.repeat(wide >> 8, 3, -1))


# --- kinds of shapes


def test_pictures_of_many_sizes(tmp_path):
    shapes = [(20 + 3 * i, 55 - 3 * i) for i in range(N)]
    x = [smooth(*shape, seed=i) for i, shape in enumerate(shapes)]
    path = write(tmp_path / "in", {f"{i:02}.png": encoded(a) for i, a in enumerate(x)})
    data = load(path, image_size=16)
    assert data.shape == (16, 16, 3)
    assert f"{N} of {N} pictures: of another shape than the images, cut" in some_note(data, "cover")
    cropped = load(path, image_size=16, crop=20)
    assert not cropped.notes
    refused(
        path,
        r"\d\d\.png: is \d+x\d+, smaller than config\.data\.crop=21: .*config\.data\.crop=0",
        crop=21,
        image_size=16,
    )
    assert "padded" in some_note(load(path, image_size=16, fit="contain"), "contain")
    refused(path, r"00\.png: is 55x20, not square, .*fit is none: set it to cover .* or contain", fit="none")
    # All of one shape: fit=none takes them, and all three give the same.
    alike = write(tmp_path / "alike", PNGS)
    same = [stacked(load(alike, image_size=4, fit=fit).split("train").images) for fit in ("none", "cover", "contain")]
    np.testing.assert_array_equal(same[0], same[1])
    np.testing.assert_array_equal(same[0], same[2])


@pytest.mark.parametrize(("height", "width"), [(8, 12), (12, 8), (8, 13)])
def test_cover_is_the_centre_and_contain_the_whole(tmp_path, height, width):
    x = noise(1, height, width)[0]
    path = write(tmp_path / "in", {"a.png": encoded(x)})
    top, left = (height - 8) // 2, (width - 8) // 2
    np.testing.assert_array_equal(load(path).split("train").images[0], x[top : top + 8, left : left + 8])
    found = load(path, fit="contain", image_size=max(height, width), background=(9,)).split("train").images[0]
    rows = np.flatnonzero((found != 9).any((1, 2)))
    columns = np.flatnonzero((found != 9).any((0, 2)))
    np.testing.assert_array_equal(found[rows[0] : rows[0] + height, columns[0] : columns[0] + width], x)
    assert min(found.shape[0] - len(rows), found.shape[1] - len(columns)) == 0


# --- links and names


def test_links_are_followed_where_asked(tmp_path):
    path = write(tmp_path / "in", {"a.png": PNGS["00.png"]})
    write(tmp_path / "store", {"b.png": PNGS["01.png"], "below/c.png": PNGS["02.png"]})
    (path / "z").symlink_to(tmp_path / "store")
    refused(path, r"z: a link that leads out of .*: set config\.data\.follow_links=True")
    data = load(path, follow_links=True)
    np.testing.assert_array_equal(stacked(data.split("train").images), IMAGES[[0, 1, 2]])
    # A link back is not walked round and round, and a changed target is seen.
    (tmp_path / "store" / "back").symlink_to(path)
    (path / "again").symlink_to(tmp_path / "store")
    data = load(path, follow_links=True)
    assert "2 linked folders" in some_note(data, "left out")
    assert len(data.split("train").images) == 3
    write(tmp_path / "store", {"b.png": PNGS["03.png"]})
    assert any(np.array_equal(x, IMAGES[3]) for x in stacked(load(path, follow_links=True).split("train").images))


def test_names_that_are_not_utf_8_or_hold_escapes(tmp_path, capsys):
    path = tmp_path / "in"
    for name in (b"caf\xe9", b"esc\x1b[31m"):
        folder_of = os.fsencode(path) + b"/" + name
        os.makedirs(folder_of)
        for i in range(5):
            with open(folder_of + b"/%d\xff.png" % i, "wb") as file:
                file.write(PNGS[f"{i:02}.png"])
    data = load(path)
    assert data.values == {"label": ("caf\\xe9", "esc\\x1b[31m")}
    print(*data.notes)
    with open(os.fsencode(path) + b"/esc\x1b[31m/bad\xff.png", "wb") as file:
        file.write(b"nothing")
    refused(path, r"esc\\x1b\[31m/bad\\xff\.png: not a picture")
    (line,) = load(path, skip_corrupt=True).skipped
    assert line.isprintable()
    line.encode()


def entry(name):
    info = zipfile.ZipInfo("x")
    info.filename = name
    return info


def zipped(path, names):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in zip(names, PNGS.values(), strict=False):
            file.writestr(entry(name), data)
    return path


def test_names_in_zips(tmp_path):
    for form in ("photos\\{}.png", "./photos/{}.png", "photos//{}.png"):
        data = load(zipped(tmp_path / f"{len(form)}.zip", [form.format(i) for i in range(N)]))
        assert sizes(data) == {"train": 10, "valid": 1, "test": 1}
    data = load(
        zipped(tmp_path / "w.zip", [f"{s}\\{c}\\{i}.png" for s in ("train", "val") for c in "ab" for i in range(3)])
    )
    assert sizes(data) == {"train": 6, "valid": 6}
    assert data.values == {"label": ("a", "b")}
    refused(zipped(tmp_path / "e.zip", ["a.png", ""]), "has an entry without a name")
    refused(zipped(tmp_path / "t.zip", ["a/b.png", "a\\b.png"]), "holds 'a/b.png' twice")
    for name in ("..\\b.png", "a\\..\\..\\b.png", "\\b.png", "C:\\b.png"):
        refused(zipped(tmp_path / "o.zip", ["a.png", name]), "leads out of the zip")
    refused(zipped(tmp_path / "esc.zip", ["a.png", "../\x1b[31m.png"]), "leads out of the zip")


def test_a_zip_of_an_unknown_version(tmp_path):
    path = zipped(tmp_path / "a.zip", ["a.png"])
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 6] = 200
    path.write_bytes(raw)
    refused(path, r"neither a folder nor a readable \.zip \(zip file version 20\.0\)")


# --- splits and classes


@pytest.mark.parametrize("train", ["train", "Train", "TRAINING"])
@pytest.mark.parametrize("valid", ["val", "VALID", "validation", "dev"])
@pytest.mark.parametrize(
    "form",
    [
        "{split}/{label}/{i}.png",
        "all/{split}/{label}/{i}.png",
        "{label}/{split}/{i}.png",
        "{split}/{split}/{label}/x/{i}.png",
    ],
)
def test_splits_and_classes(tmp_path, train, valid, form):
    files = {}
    for split in (train, valid, "Test"):
        for label in ("cat", "dog"):
            for i in range(2):
                # The class shows in the picture.
                pixels = np.full((8, 8, 3), len(files) * 2 + (label == "dog"), np.uint8)
                files[form.format(split=split, label=label, i=i)] = encoded(pixels)
    data = load(write(tmp_path / "in", files))
    assert sizes(data) == {"train": 4, "valid": 4, "test": 4}
    assert (data.attributes, dict(data.values)) == (("label",), {"label": ("cat", "dog")})
    for split in data.splits.values():
        np.testing.assert_array_equal(split.attributes[:, 0], stacked(split.images)[:, 0, 0, 0] % 2)
    some_note(data, "the attribute label has 2 values: cat, dog")


def test_the_first_of_a_split_are_of_all_classes(tmp_path):
    """Most metrics are of the first images."""
    path = write(tmp_path / "in", {f"{s}/{c}/{n}": d for s in ("train", "test") for c in "ab" for n, d in PNGS.items()})
    test = load(path).split("test")
    assert 0 < test.attributes[:N, 0].sum() < N
    assert len({x.tobytes() for x in stacked(test.images)}) == N


def test_class_folders_without_splits(tmp_path):
    data = load(
        write(tmp_path / "in", {f"{'cat' if i % 2 else 'dog'}/{n}": d for i, (n, d) in enumerate(PNGS.items())})
    )
    assert sizes(data) == {"train": 10, "valid": 1, "test": 1}
    assert data.attributes == ("label",)
    assert sum(s.attributes.sum() for s in data.splits.values()) == 6
    # Loose pictures have no class, and one folder is none.
    assert not load(write(tmp_path / "loose", {"a/1.png": PNGS["00.png"], "b.png": PNGS["01.png"]})).attributes
    assert not load(write(tmp_path / "one", {f"a/{n}": d for n, d in PNGS.items()})).attributes


def test_splits_that_are_not_clear(tmp_path):
    both = {f"{split}/{n}": d for split in ("train", "val", "valid") for n, d in PNGS.items()}
    refused(write(tmp_path / "both", both), "has both val/ and valid/ for the split valid: leave one")
    mixed = {f"a/{split}/{n}": d for split in ("train", "test") for n, d in PNGS.items()} | {"b/1.png": PNGS["00.png"]}
    refused(
        write(tmp_path / "mixed", mixed), r"a/t\w+/ is a split, and there are pictures outside of the splits, in .*b/"
    )
    kaggle = {f"train/{c}/{i}.png": PNGS["00.png"] for c in "ab" for i in range(2)} | {"test/1.png": PNGS["01.png"]}
    data = load(write(tmp_path / "kaggle", kaggle))
    assert not data.attributes
    some_note(data, "no attribute label: the pictures of test lie in no class folders")
    # A file beside the one folder does not hide the splits.
    beside = {f"in/{split}/{n}": d for split in ("train", "test") for n, d in PNGS.items()} | {"README.txt": b""}
    assert sizes(load(write(tmp_path / "beside", beside))) == {"train": 12, "test": 12}


# --- attributes.csv


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_every_kind_of_column(tmp_path, separator, end, bom):
    header = ["file", "smile", "kind", "share", "open", "count", "with space"]
    rows = [
        [f"{i:02}.png", ("Yes", "no")[i % 2], ("cat", "dog")[i % 2], f"{i / 8}", str(i % 3 == 0), str(i), "1e-1"]
        for i in range(N)
    ]
    text = end.join(separator.join(row) for row in [header, *reversed(rows)]) + end + end
    data = load(write(tmp_path / "in", PNGS | {"attributes.csv": bom + text.encode()}))
    assert data.attributes == tuple(header[1:])
    assert dict(data.values) == {"smile": ("no", "yes"), "kind": ("cat", "dog"), "open": ("false", "true")}
    place = {x.tobytes(): i for i, x in enumerate(IMAGES)}
    for split in data.splits.values():
        for x, row in zip(stacked(split.images), split.attributes, strict=True):
            i = place[x.tobytes()]
            np.testing.assert_allclose(row, [i % 2 == 0, i % 2, i / 8, i % 3 == 0, i, 0.1], rtol=1e-6)


def test_a_decimal_comma_is_a_number(tmp_path):
    table = b"file;share\n" + b"".join(b"%02d.png;%d,5\n" % (i, i) for i in range(N))
    data = load(write(tmp_path / "in", PNGS | {"attributes.csv": table}))
    assert not data.values
    assert sorted(np.concatenate([s.attributes[:, 0] for s in data.splits.values()])) == [i + 0.5 for i in range(N)]


@pytest.mark.parametrize("name", ["{}", "images/{}", ".\\images\\{}"])
def test_a_table_above_the_one_folder_of_pictures(tmp_path, name):
    table = "file,x\n" + "".join(f"{name.format(n)},{i}\n" for i, n in enumerate(PNGS))
    files = {f"images/{n}": d for n, d in PNGS.items()} | {"attributes.csv": table.encode()}
    data = load(write(tmp_path / "in", files))
    assert data.attributes == ("x",)
    assert not data.notes


def test_class_folders_and_a_table(tmp_path):
    files = {f"{c}/{i}.png": PNGS[f"{i:02}.png"] for c in "ab" for i in range(5)}
    table = "file,x\n" + "".join(f"{n},0.5\n" for n in files)
    data = load(write(tmp_path / "in", files | {"attributes.csv": table.encode()}))
    assert data.attributes == ("label", "x")
    own = "file,label\n" + "".join(f"{n},3\n" for n in files)
    data = load(write(tmp_path / "own", files | {"attributes.csv": own.encode()}))
    assert (data.attributes, dict(data.values)) == (("label",), {})
    assert data.split("train").attributes[0, 0] == 3


@pytest.mark.parametrize("name", ["avatars", "digits", "celeba", "mnist5k", "moments", "folder"])
def test_a_built_in_name_changes_nothing(tmp_path, name):
    """The name of the folder, of its classes and of its attributes."""
    files = {f"{'digits' if i % 2 else 'avatars'}/{n}": d for i, (n, d) in enumerate(PNGS.items())}
    table = "file,digit,mouth\n" + "".join(f"{n},0.5,{i % 2}\n" for i, n in enumerate(files))
    plain, named = (load(write(tmp_path / n, files | {"attributes.csv": table.encode()})) for n in ("mine", name))
    assert plain._replace(name="", splits={}, notes=()) == named._replace(name="", splits={}, notes=())
    assert named.render is None
    assert named.levels == 256
    for split in plain.splits:
        np.testing.assert_array_equal(plain.split(split).attributes, named.split(split).attributes)
        np.testing.assert_array_equal(stacked(plain.split(split).images), stacked(named.split(split).images))
