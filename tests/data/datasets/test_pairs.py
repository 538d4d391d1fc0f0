"""Pairs of pictures: both layouts, the order of the channels, the splits, and a refusal by name for every pair that is none."""

import numpy as np
import pytest

from sde_vae.data.datasets.load import load
from sde_vae.errors import BadInput
from tests.helpers.files import encoded, noise, options, pack, stacked, write

N = 12
X, Y = noise(N), noise(N, channels=1, seed=1)
NAMES = [f"{'train' if i < 8 else 'val'}/{i:02}" for i in range(N)]
BOTH = np.concatenate([X, Y], axis=-1)


def of_folders(a=Y, b=X):
    return {
        f"{side}/{name}.png": encoded(image)
        for side, images in (("A", a), ("B", b))
        for name, image in zip(NAMES, images, strict=True)
    }


def beside(a=Y, b=X):
    whole = [
        np.concatenate([np.broadcast_to(left, right.shape), right], axis=1) for left, right in zip(a, b, strict=True)
    ]
    return {f"{name}.png": encoded(image) for name, image in zip(NAMES, whole, strict=True)}


LAYOUTS = {
    "A/train": lambda path: write(path, of_folders()),
    "train/A": lambda path: write(
        path,
        {"/".join((n.split("/")[1], n.split("/")[0].lower(), n.split("/")[2])): d for n, d in of_folders().items()},
    ),
    "zip": lambda path: pack(path / "pairs.zip", {f"mine/{n}": d for n, d in of_folders().items()}),
    "side by side": lambda path: write(path, beside()),
}


def pairs(path, tmp_path, **changes):
    return load("pairs", options(path, tmp_path / "cache", **{"y_channels": 1, "to_grey": True, **changes}))


def refused(tmp_path, path, match, **changes):
    with pytest.raises(BadInput, match=match) as error:
        pairs(path, tmp_path, **changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_x_comes_first_and_then_y(tmp_path, layout):
    data = pairs(LAYOUTS[layout](tmp_path / "in"), tmp_path)
    assert {name: len(split.images) for name, split in data.splits.items()} == {"train": 8, "valid": 4}
    assert data.shape == (8, 8, 4)
    np.testing.assert_array_equal(stacked(data.split("train").images), BOTH[:8])
    np.testing.assert_array_equal(stacked(data.split("valid").images), BOTH[8:])
    files = (
        "files with A on the left and B on the right"
        if layout == "side by side"
        else "files of equal names in A/ and B/"
    )
    assert data.notes[0].endswith(f"{files}: x is B, y is A")


def test_swapped_x_is_a(tmp_path):
    data = pairs(write(tmp_path / "in", of_folders(X, Y)), tmp_path, swap=True)
    np.testing.assert_array_equal(stacked(data.split("train").images), BOTH[:8])
    assert data.notes[0].endswith("x is A, y is B")
    other = pairs(tmp_path / "in", tmp_path, y_channels=3)
    np.testing.assert_array_equal(other.split("train").images[0][..., :3], np.broadcast_to(Y[0], (8, 8, 3)))


def test_without_folders_of_splits_a_tenth_each_is_held_out(tmp_path):
    files = {name.replace("train/", "").replace("val/", ""): data for name, data in of_folders().items()}
    data = pairs(write(tmp_path / "in", files), tmp_path)
    assert {name: len(split.images) for name, split in data.splits.items()} == {"train": 10, "valid": 1, "test": 1}
    found = np.concatenate([stacked(split.images) for split in data.splits.values()])
    assert {x.tobytes() for x in found} == {x.tobytes() for x in BOTH}


def test_both_are_cut_alike(tmp_path):
    """Of pictures of 8x12 the same columns; the centre crop too."""
    wide = noise(2, 8, 12)
    write(tmp_path / "in", {f"{side}/{i}.png": encoded(x) for side in "AB" for i, x in enumerate(wide)})
    data = pairs(tmp_path / "in", tmp_path, y_channels=3)
    np.testing.assert_array_equal(data.split("train").images[0], np.tile(wide[0, :, 2:10], 2))
    cropped = pairs(tmp_path / "in", tmp_path, y_channels=3, crop=4)
    assert np.array_equal(*np.split(cropped.split("train").images[0], 2, axis=-1))


def test_a_pair_with_a_corrupt_picture_stops_the_run_or_is_left_out_and_counted(tmp_path):
    path = write(tmp_path / "in", of_folders() | {"A/train/03.png": b"corrupt"})
    refused(tmp_path, path, r"in/A/train/03\.png: not a picture in .*skip_corrupt=True leaves such files out")
    data = pairs(path, tmp_path, skip_corrupt=True)
    np.testing.assert_array_equal(stacked(data.split("train").images), np.delete(BOTH[:8], 3, axis=0))
    assert len(data.skipped) == 1
    assert "03.png" in data.skipped[0]
    assert any("left out: 1 of 12 pairs with a corrupt picture" in note for note in data.notes)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"B/train/90.png": encoded(X[0])}, r"in/B/train/90\.png has no partner of its name in A/ \(1 such pictures\)"),
        ({"A/train/00.png": encoded(X[0, :4])}, r"in/A/train/00\.png: is 8x4, but .*in/B/train/00\.png is 8x8"),
        ({"stray.png": encoded(X[0])}, r"in/stray\.png lies in neither of the folders A and B"),
        ({"A/train/00.jpg": encoded(X[0])}, r"has A/train/00\.jpg and A/train/00\.png, two of one name; remove one"),
        ({"A/test/0.png": encoded(X[0])}, r"in/A/test/0\.png has no partner of its name in B/"),
    ],
)
def test_what_is_no_pair_is_refused_by_its_file(tmp_path, files, message):
    refused(tmp_path, write(tmp_path / "in", of_folders() | files), message, skip_corrupt=True)


def test_other_refusals_name_the_file_or_the_field(tmp_path):
    odd = write(tmp_path / "odd", beside() | {"train/00.png": encoded(X[0, :, :7])})
    refused(tmp_path, odd, r"odd/train/00\.png: is 7x8, of odd width; expected A and B side by side", skip_corrupt=True)
    one = write(tmp_path / "one", {n: d for n, d in of_folders().items() if n.startswith("A")})
    refused(tmp_path, one, r"one/A/train/00\.png has no partner of its name in B/ \(12 such pictures\)")
    grey = write(tmp_path / "grey", of_folders(X, X))
    refused(
        tmp_path, grey, r"A/train/00\.png: is in colour, and config\.task\.y_channels is 1: set it to 3", to_grey=False
    )
    refused(tmp_path, grey, r"config\.task\.y_channels: got 2, expected 1 \(grey\), 3", y_channels=2)
    refused(tmp_path, None, r"config\.data\.dir: not given; expected a folder or a \.zip of pairs")
