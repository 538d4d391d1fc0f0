"""CelebA's three files, faked in their format: what the loader gives is what they say, and disagreements are found."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from sde_vae.data.datasets.celeba import celeba
from sde_vae.errors import BadInput
from tests.helpers.files import encoded, options, pack, smooth, stacked, write

N = 9
NAMES = [f"{i + 1:06}.jpg" for i in range(N)]
JPEGS = {name: encoded(smooth(218, 178, seed=i), "JPEG", quality=90) for i, name in enumerate(NAMES)}
COLUMNS = [f"Column_{i}" for i in range(40)]
SIGNS = np.random.default_rng(0).choice([-1, 1], (N, 40))
PARTITION = [0, 0, 1, 0, 2, 0, 1, 2, 0]


def attributes_txt():
    rows = [f"{n} {' '.join(f'{s:2}' for s in row)}" for n, row in zip(NAMES, SIGNS, strict=True)]
    return "\n".join([str(N), " ".join(COLUMNS) + " ", *rows, ""])


def partition_txt():
    return "".join(f"{n} {p}\n" for n, p in zip(NAMES, PARTITION, strict=True))


@pytest.fixture
def root(tmp_path):
    pack(tmp_path / "celeba" / "img_align_celeba.zip", {f"img_align_celeba/{n}": d for n, d in JPEGS.items()})
    lists = {"list_attr_celeba.txt": attributes_txt().encode(), "list_eval_partition.txt": partition_txt().encode()}
    return write(tmp_path / "celeba", lists)


def load(root, **changes):
    return celeba(options(root, root.parent / "cache", **{"image_size": 64, "filter": "bicubic"} | changes))


def expected(index, crop=140):
    left, top = (178 - crop) // 2, (218 - crop) // 2
    box = (left, top, left + crop, top + crop)
    for i in np.flatnonzero(np.array(PARTITION) == index):
        with Image.open(io.BytesIO(JPEGS[NAMES[i]])) as picture:
            yield np.asarray(picture.crop(box).resize((64, 64), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("extracted", [False, True])
@pytest.mark.parametrize("crop", [0, 128])
def test_splits_pixels_and_attributes(root, extracted, crop):
    if extracted:
        shutil.unpack_archive(root / "img_align_celeba.zip", root)
        (root / "img_align_celeba.zip").unlink()
    data = load(root, crop=crop)
    assert data.attributes == tuple(COLUMNS)
    for i, name in enumerate(("train", "valid", "test")):
        np.testing.assert_array_equal(stacked(data.split(name).images), np.stack(list(expected(i, crop or 140))))
        attributes = data.split(name).attributes
        assert attributes.dtype == np.int8
        np.testing.assert_array_equal(2 * attributes - 1, SIGNS[np.array(PARTITION) == i])


def test_a_corrupt_picture_does_not_shift_the_others(root):
    pictures = {f"img_align_celeba/{n}": d for n, d in (JPEGS | {NAMES[0]: JPEGS[NAMES[0]][:5000]}).items()}
    pack(root / "img_align_celeba.zip", pictures)
    with pytest.raises(BadInput, match=r"000001\.jpg: corrupt or truncated"):
        load(root)
    data = load(root, skip_corrupt=True)
    assert len(data.skipped) == 1
    np.testing.assert_array_equal(stacked(data.split("train").images), np.stack(list(expected(0)))[1:])
    np.testing.assert_array_equal(2 * data.split("train").attributes - 1, SIGNS[np.array(PARTITION) == 0][1:])
    np.testing.assert_array_equal(stacked(data.split("test").images), np.stack(list(expected(2))))


def replaced(name, old, new):
    def harm(root):
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new, 1))

    return harm


def without(*names):
    def harm(root):
        pack(root / "img_align_celeba.zip", {f"img_align_celeba/{n}": d for n, d in JPEGS.items() if n not in names})

    return harm


ATTRIBUTES, SPLITS = "list_attr_celeba.txt", "list_eval_partition.txt"
HARM = {
    "count": (
        replaced(ATTRIBUTES, "9", "10"),
        "list_attr_celeba.txt: line 1 must be the number of pictures, 9, got '10'",
    ),
    "columns": (
        replaced(ATTRIBUTES, COLUMNS[3], ""),
        "list_attr_celeba.txt: line 2 must have 40 different names of attributes, got 39",
    ),
    "short": (replaced(ATTRIBUTES, "000003.jpg", ""), "list_attr_celeba.txt: line 5: expected a file name and 40"),
    "sign": (replaced(ATTRIBUTES, "000002.jpg ", "000002.jpg 0"), "list_attr_celeba.txt: line 4: expected"),
    "twice": (
        replaced(ATTRIBUTES, "000002.jpg", "000001.jpg"),
        "list_attr_celeba.txt: line 4: a second line for '000001.jpg'",
    ),
    "split": (
        replaced(SPLITS, "000003.jpg 1", "000003.jpg 3"),
        "list_eval_partition.txt: line 3: expected a file name and 0",
    ),
    "gap": (replaced(SPLITS, "000003.jpg 1", ""), "list_eval_partition.txt: line 3 is empty"),
    "unlisted": (
        replaced(SPLITS, "000009.jpg 0\n", ""),
        "list_attr_celeba.txt: has '000009', which .*partition.txt has not",
    ),
    "stranger": (
        replaced(SPLITS, "000009", "000010"),
        "list_eval_partition.txt: has '000010', which .*attr_celeba.txt has not",
    ),
    "no picture": (without("000004.jpg"), "list_attr_celeba.txt: has '000004', which .*celeba.zip has not"),
    "not text": (lambda root: (root / SPLITS).write_bytes(b"\xff\xfe"), "list_eval_partition.txt: is not text"),
    "no list": (
        lambda root: (root / SPLITS).unlink(),
        "celeba has no list_eval_partition.txt or .*csv .searched: .*celeba",
    ),
    "only a number": (lambda root: (root / ATTRIBUTES).write_text("-1"), "list_attr_celeba.txt: has no line of a pict"),
    "only names": (
        lambda root: (root / ATTRIBUTES).write_text("0\n" + " ".join(COLUMNS)),
        "list_attr_celeba.txt: has no line of a picture",
    ),
    "empty list": (lambda root: (root / ATTRIBUTES).write_text(""), "list_attr_celeba.txt: is empty"),
    "no zip": (
        lambda root: (root / "img_align_celeba.zip").unlink(),
        "celeba has no img_align_celeba.zip or img_align",
    ),
    "two signs": (
        lambda root: (root / ATTRIBUTES).write_text(attributes_txt().replace(" 1\n", " 0\n")),
        "list_attr_celeba.txt: line .*: expected a file name and 40 times -1 or 1",
    ),
    "no ending": (
        replaced(ATTRIBUTES, "000002.jpg", "000002"),
        "line 4: expected the name of a picture .* got '000002'",
    ),
    "escape": (
        replaced(SPLITS, "000003.jpg 1", "000003.jpg \x1b[31m" + "x" * 999),
        r"line 3: .* '000003.jpg \\x1b\[31mx+\.\.\.'",
    ),
    "two names": (
        lambda root: pack(
            root / "img_align_celeba.zip",
            {f"img_align_celeba/{n}": d for n, d in JPEGS.items()} | {"more/000001.png": JPEGS[NAMES[0]]},
        ),
        "'img_align_celeba/000001.jpg' and 'more/000001.png', two files of one picture",
    ),
    "two tables": (
        lambda root: (
            [write(root / f, {SPLITS: partition_txt().encode()}) for f in ("a", "B")] and (root / SPLITS).unlink()
        ),
        "a/list_eval_partition.txt and .*B/list_eval_partition.txt are the same thing twice",
    ),
    "a file": (
        lambda root: (shutil.rmtree(root), root.write_bytes(b"")),
        "config.data.dir: .*celeba is a file; expected a folder with img_align_celeba.zip",
    ),
}


def csv(text, header, low="-1"):
    """A table of the authors as others convert it: no line with the number of pictures, commas, perhaps 0 for -1."""
    lines = [line.split() for line in text.splitlines()]
    lines = [lines[1], *lines[2:]] if len(lines[0]) == 1 else [[], *lines]
    lines[0] = [header, *(lines[0] or ["partition"])]
    return "\r\n".join(",".join(low if cell == "-1" else cell for cell in line) for line in lines).encode("utf-8-sig")


def faces(folder, ending="jpg"):
    return {f"{folder}/{n.replace('jpg', ending)}": d for n, d in JPEGS.items()}


def kaggle(root, low="-1", below="", ending="jpg"):
    tables = {
        "list_attr_celeba.csv": csv(attributes_txt(), "image_id", low),
        "list_eval_partition.csv": csv(partition_txt(), "image_id"),
    }
    write(root / below, tables | faces("img_align_celeba/img_align_celeba", ending))


def drive(root, below="", img="Img", ending=""):
    texts = {f"Anno/{ATTRIBUTES}": attributes_txt().encode(), f"Eval/{SPLITS}": partition_txt().encode()}
    write(root / below, {n.upper() if ending else n: d for n, d in texts.items()})
    pack(root / below / img / f"img_align_celeba.zip{ending}".replace(".zip.ZIP", ".ZIP"), faces("img_align_celeba"))


def beside(root, pictures):
    """Both tables in the folder itself, the pictures in `pictures`."""
    write(root, {ATTRIBUTES: attributes_txt().encode(), SPLITS: partition_txt().encode(), **pictures})


LAYOUTS = {
    "kaggle": kaggle,
    "kaggle, 0 for -1": lambda root: kaggle(root, low="0"),
    "kaggle, one below": lambda root: kaggle(root, below="archive"),
    "kaggle, capital endings": lambda root: kaggle(root, ending="JPG"),
    "drive": drive,
    "drive, one below": lambda root: drive(root, below="CelebA"),
    "drive, capitals": lambda root: drive(root, img="IMG", ending=".ZIP"),
    "one below": lambda root: beside(root / "celeba", faces("img_align_celeba")),
    "beside": lambda root: beside(root, faces("img_align_celeba")),
    "other capitals": lambda root: beside(root, faces("IMG_Align_CelebA", "Jpg")),
    "jpeg": lambda root: beside(root, faces("img_align_celeba", "jpeg")),
    "named as png": lambda root: beside(root, faces("img_align_celeba_png", "png")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_that_people_have_give_the_same(tmp_path, layout, capsys):
    LAYOUTS[layout](tmp_path / "root")
    data = load(tmp_path / "root", crop=128, image_size=8)
    assert data.attributes == tuple(COLUMNS)
    for i, name in enumerate(("train", "valid", "test")):
        np.testing.assert_array_equal(2 * data.split(name).attributes - 1, SIGNS[np.array(PARTITION) == i])
    plain = load_of_authors(tmp_path)
    for name in data.splits:
        np.testing.assert_array_equal(stacked(data.split(name).images), stacked(plain.split(name).images))
    assert "left out" not in capsys.readouterr().out


def load_of_authors(tmp_path):
    beside(tmp_path / "authors", faces("img_align_celeba"))
    return load(tmp_path / "authors", crop=128, image_size=8)


def test_other_files_among_the_pictures_are_counted(root, capsys):
    pack(root / "img_align_celeba.zip", {**faces("img_align_celeba"), "Thumbs.db": b"", "read me.txt": b""})
    load(root)
    assert "img_align_celeba.zip: 2 files left out, with other endings than .jpg" in capsys.readouterr().out


def test_what_is_missing_is_named_with_the_folders_searched(tmp_path):
    write(tmp_path / "root", {"Anno/list_attr_celeba.txt": b"", **{f"{i}/x": b"" for i in range(9)}})
    with pytest.raises(BadInput) as error:
        load(tmp_path / "root")
    text = str(error.value)
    assert "has no img_align_celeba.zip or img_align_celeba, no list_eval_partition.txt or list_eval" in text
    assert "no list_attr" not in text
    assert f"(searched: {tmp_path / 'root'}, {tmp_path / 'root' / '0'}, " in text
    assert " and 5 more)" in text


@pytest.mark.parametrize("case", HARM)
def test_files_that_do_not_agree(root, case):
    harm, message = HARM[case]
    harm(root)
    with pytest.raises(BadInput, match=message) as error:
        load(root)
    assert "\n" not in str(error.value)
    assert not (root.parent / "cache").exists()


def test_no_folder(tmp_path):
    with pytest.raises(BadInput, match=r"config\.data\.dir: not given; expected a folder with img_align_celeba\.zip"):
        celeba(options(None, tmp_path))
