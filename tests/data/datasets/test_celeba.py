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
        "list_attr_celeba.txt: line 2 must have 40 different names, got 39",
    ),
    "short": (replaced(ATTRIBUTES, "000003.jpg", ""), "list_attr_celeba.txt: line 5: expected a file name and 40"),
    "sign": (replaced(ATTRIBUTES, "000002.jpg ", "000002.jpg 0"), "list_attr_celeba.txt: line 4: expected"),
    "twice": (
        replaced(ATTRIBUTES, "000002.jpg", "000001.jpg"),
        "list_attr_celeba.txt: line 4: a second line for 000001",
    ),
    "split": (
        replaced(SPLITS, "000003.jpg 1", "000003.jpg 3"),
        "list_eval_partition.txt: line 3: expected a file name and 0",
    ),
    "gap": (replaced(SPLITS, "000003.jpg 1", ""), "list_eval_partition.txt: line 3 is empty"),
    "unlisted": (
        replaced(SPLITS, "000009.jpg 0\n", ""),
        "list_attr_celeba.txt: has 000009.jpg, which .*partition.txt has not",
    ),
    "stranger": (
        replaced(SPLITS, "000009", "000010"),
        "list_eval_partition.txt: has 000010.jpg, which .*attr_celeba.txt has not",
    ),
    "no picture": (without("000004.jpg"), "list_attr_celeba.txt: has 000004.jpg, which .*celeba.zip has not"),
    "not text": (lambda root: (root / SPLITS).write_bytes(b"\xff\xfe"), "list_eval_partition.txt: is not text"),
    "no list": (lambda root: (root / SPLITS).unlink(), "list_eval_partition.txt: cannot be read"),
    "empty list": (lambda root: (root / ATTRIBUTES).write_text(""), "list_attr_celeba.txt: line 1"),
    "no zip": (lambda root: (root / "img_align_celeba.zip").unlink(), "has neither img_align_celeba.zip nor"),
}


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
