"""Bytes to pixels: exact where nothing is to be done, Pillow's crop and resize where something is, and strict."""

import io
import os
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from sde_vae.data.cache.record_cache import Picture, Skipped
from sde_vae.data.io import decode as module
from sde_vae.data.io import turns
from sde_vae.data.io.decode import FILTERS, decode, pictures
from sde_vae.errors import BadInput
from tests.helpers.files import encoded, noise, options, smooth


def read(data, **changes):
    return decode(data, "a.png", options(None, None, **changes)).image


@pytest.mark.parametrize("channels", [1, 3])
def test_png_of_the_right_size_comes_back_exactly(channels):
    (x,) = noise(1, channels=channels)
    np.testing.assert_array_equal(read(encoded(x), channels=channels), x)


def test_jpeg_is_what_pillow_decodes():
    data = encoded(smooth(8, 8), "JPEG")
    with Image.open(io.BytesIO(data)) as picture:
        np.testing.assert_array_equal(read(data), np.asarray(picture))


@pytest.mark.parametrize("name", FILTERS)
def test_crop_and_resize_are_pillows(name):
    x = smooth(218, 178)
    expected = Image.fromarray(x[39:179, 19:159]).resize((64, 64), FILTERS[name])
    np.testing.assert_array_equal(read(encoded(x), crop=140, image_size=64, filter=name), np.asarray(expected))


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_is_antialiased(name):
    """A board of single pixels, made 8 times smaller, is grey: a filter that only looked at neighbours would alias."""
    board = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    small = read(encoded(np.repeat(board[..., None], 3, 2).astype(np.uint8)), filter=name)
    assert np.abs(small.astype(int) - 127.5)[1:-1, 1:-1].max() <= 2


@pytest.mark.parametrize(("format", "how"), [("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True})])
def test_a_file_cut_anywhere_is_an_error_or_the_whole_picture(format, how):
    data = encoded(smooth(8, 8), format, **how)
    whole, errors = read(data), 0
    for end in range(len(data)):
        try:
            np.testing.assert_array_equal(read(data[:end]), whole)  # PNG's last chunk holds no pixels
        except BadInput:
            errors += 1
    assert errors >= len(data) - 24


def test_what_loses_nothing_is_converted():
    (x,) = noise(1, channels=1)
    grey = Image.fromarray(x[..., 0])
    np.testing.assert_array_equal(read(encoded(grey)), np.repeat(x, 3, -1))
    palette = Image.fromarray(noise(1)[0]).quantize(16)
    np.testing.assert_array_equal(read(encoded(palette)), np.asarray(palette.convert("RGB")))
    np.testing.assert_array_equal(read(encoded(palette, transparency=200)), np.asarray(palette.convert("RGB")))
    opaque = Image.fromarray(noise(1)[0]).convert("RGBA")
    np.testing.assert_array_equal(read(encoded(opaque)), noise(1)[0])
    bits = Image.fromarray(x[..., 0] > 127)
    np.testing.assert_array_equal(read(encoded(bits), channels=1), 255 * (x > 127).astype(np.uint8))


def test_orientation_is_applied():
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown turned clockwise by a quarter
    x = noise(1)[0]
    np.testing.assert_array_equal(read(encoded(x, exif=turned)), np.rot90(x, -1))


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        (b"", {}, "not a picture in PNG, JPEG"),
        (b"<svg/>", {}, "not a picture in PNG, JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", {}, "not a picture in PNG, JPEG"),
        (encoded(Image.new("RGB", (8, 8)), "PCX"), {}, "not a picture in PNG, JPEG"),
        (
            encoded(noise(1)[0]),
            {"channels": 1},
            r"in colour, .*channels is 1: set it to 3, or config.data.to_grey=True",
        ),
        (encoded(noise(1, channels=4)[0]), {}, "transparent in places: set config.data.background"),
        (encoded(Image.fromarray(noise(1)[0]).quantize(4), transparency=0), {}, "transparent in places"),
        (encoded(Image.new("F", (8, 8)), "TIFF"), {}, "is of mode F"),
        (encoded(Image.new("I", (8, 8)), "TIFF"), {}, "is of mode I"),
        (encoded(Image.new("LAB", (8, 8)), "TIFF"), {}, "is of mode LAB"),
        (encoded(noise(1, 8, 9)[0]), {"fit": "none"}, "is 9x8, not square, .*set it to cover .* or contain"),
        (encoded(noise(1)[0]), {"crop": 9}, "is 8x8, smaller than config.data.crop=9: .*crop=0"),
        (encoded(noise(1, 9, 9)[0]), {"filter": "nearest"}, "config.data.filter: unknown name 'nearest'"),
        (encoded(noise(1, 9, 9)[0]), {"fit": "stretch"}, "config.data.fit: unknown name 'stretch'"),
        (
            encoded(noise(1)[0]),
            {"background": (1, 2)},
            "config.data.background: got .*one number, or one for each of 3",
        ),
        (encoded(noise(1)[0]), {"channels": 2}, "config.data.channels: got 2, expected 1"),
    ],
)
def test_bad_input_is_named(data, changes, message):
    with pytest.raises(BadInput, match=message) as error:
        read(data, **changes)
    assert str(error.value).startswith(("a.png: ", "config.data."))
    assert "\n" not in str(error.value)


def png16(colour_type, values):
    """A PNG of 8x8 with 16 bits per channel, by the specification: Pillow writes none in colour."""
    header = struct.pack(">IIBBBBB", 8, 8, 16, colour_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in values))
    chunks = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_of_16_bits_the_upper_8_are_read_and_it_is_said(colour_type, channels):
    values = np.random.default_rng(0).integers(0, 65536, (8, 8, channels))
    values[..., -1] = 65535 if channels in (2, 4) else values[..., -1]
    found = decode(png16(colour_type, values), "a.png", options(None, None))
    colours = values[..., : 1 if channels < 3 else 3] >> 8
    np.testing.assert_array_equal(found.image, np.broadcast_to(colours, (8, 8, 3)))
    assert "16_bits" in found.changes


def test_a_decompression_bomb_is_refused_before_it_is_decoded():
    """A few kilobytes that declare gigabytes."""
    data = encoded(Image.new("1", (60_000, 2)))
    for side in (10_000, 60_000):  # Pillow: a warning for the one, an error for the other
        header = b"IHDR" + side.to_bytes(4) + side.to_bytes(4) + data[24:29]
        bomb = data[:12] + header + zlib.crc32(header).to_bytes(4) + data[33:]
        with pytest.raises(
            BadInput, match=rf"a\.png: has {side**2} pixels, over the limit of {Image.MAX_IMAGE_PIXELS}"
        ):
            read(bomb)


def test_a_row_that_is_too_long_is_refused_before_it_is_decoded():
    wide = io.BytesIO()
    Image.new("1", (65_536, 1)).save(wide, "png")
    with pytest.raises(BadInput, match=r"a\.png: is 65536x1, over the limit of 65535 for a side: cut it"):
        read(wide.getvalue())


def test_pictures_come_in_order_with_their_attributes():
    x = noise(100)
    data = [encoded(a) for a in x]
    rows = np.arange(100)[:, None]
    found = list(pictures([f"{i}.png" for i in range(100)], lambda i: data[i], options(None, None), rows))
    np.testing.assert_array_equal(np.stack([p.image for p in found]), x)
    np.testing.assert_array_equal(np.stack([p.attributes for p in found]), rows)


def test_what_is_decoded_at_once_has_a_bound(monkeypatch):
    """Of pictures with 100 pixels four at a time, and one with 900 alone; those with more than 150 in one thread."""
    monkeypatch.setattr(turns, "AT_ONCE", 400)
    monkeypatch.setattr(turns, "LARGE", 150)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    changed, at_work, found, threads, prepared = threading.Lock(), [], [], set(), module.prepared

    def slowly(opened, *rest):
        pixels = opened.picture.width * opened.picture.height
        with changed:
            at_work.append(pixels)
            found.append(tuple(at_work))
            threads.update({threading.get_ident()} if pixels > 150 else ())
        time.sleep(0.005)
        with changed:
            at_work.remove(pixels)
        return prepared(opened, *rest)

    monkeypatch.setattr(module, "prepared", slowly)
    sides = [30 if i % 8 == 3 else 13 if i % 8 == 5 else 10 for i in range(40)]
    data = [encoded(noise(1, side, side)[0]) for side in sides]
    names = [f"{i}.png" for i in range(40)]
    made = list(pictures(names, lambda i: data[i], options(None, None, fit="cover"), alike=False))
    assert len(made) == len(found) == 40
    assert all(sum(pixels) <= 400 or pixels == (900,) for pixels in found)
    assert max(map(len, found)) > 1
    assert len(threads) == 1


ODD = {
    "other size": (encoded(noise(1, 16, 16)[0]), "c.png: is 16x16, while a.png is 8x8"),
    "not square": (encoded(noise(1, 8, 9)[0]), "c.png: is 9x8, while a.png is 8x8"),
    "truncated": (encoded(noise(1)[0])[:-40], "c.png: corrupt or truncated"),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_one_is_an_error_or_left_out(case):
    good = encoded(noise(1)[0])
    data, message = [good, good, ODD[case][0], good], ODD[case][1]
    names = ["a.png", "b.png", "c.png", "d.png"]
    with pytest.raises(BadInput, match=message):
        list(pictures(names, lambda i: data[i], options(None, None)))
    a, b, c, d = pictures(names, lambda i: data[i], options(None, None, skip_corrupt=True), np.arange(4))
    assert isinstance(c, Skipped)
    assert c.line.startswith(message)
    assert all(isinstance(p, Picture) for p in (a, b, d))
    assert d.attributes == 3


UNFIT = {
    "colour": (encoded(noise(1)[0]), {"channels": 1}, "config.data.channels is 1: set it to 3"),
    "crop": (encoded(noise(1)[0]), {"crop": 9}, "smaller than config.data.crop=9"),
    "oblong": (encoded(noise(1, 8, 9)[0]), {"fit": "none"}, "not square, and config.data.fit is none"),
}


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("case", UNFIT)
def test_options_that_fit_no_file_are_not_made_up_for_by_skipping(case, alike):
    """At the first file that shows it: what comes after is not looked at."""
    data, changes, message = UNFIT[case]
    found = pictures(100 * ["a.png"], lambda i: data, options(None, None, skip_corrupt=True, **changes), alike=alike)
    with pytest.raises(BadInput, match=f"^a.png: .*{message}") as error:
        next(found)
    assert "skip_corrupt" not in str(error.value)


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize(("bad", "refused"), [(1, False), (2, False), (3, True), (4, True)])
def test_more_than_half_skipped_is_an_error(bad, refused, alike):
    good = encoded(noise(1)[0])
    names = [f"{i}.png" for i in range(4)]
    found = pictures(names, lambda i: b"" if i < bad else good, options(None, None, skip_corrupt=True), alike=alike)
    if refused:
        with pytest.raises(BadInput, match=rf"config\.data\.dir: {bad} of 4 .*: 0\.png: .*; 1\.png: .*; 2\.png: ") as e:
            list(found)
        assert "3.png" not in str(e.value)
    else:
        assert sum(isinstance(p, Skipped) for p in found) == bad


def test_a_first_file_that_is_the_odd_one():
    data = [encoded(x) for x in (noise(1, 9, 9)[0], *noise(3))]
    with pytest.raises(BadInput, match=r"3 of 4 files cannot be used: 1\.png: is 8x8, while 0\.png is 9x9"):
        list(pictures([f"{i}.png" for i in range(4)], data.__getitem__, options(None, None, skip_corrupt=True)))


def test_a_wrong_option_is_not_the_fault_of_the_files():
    with pytest.raises(BadInput, match=r"^config.data.filter"):
        list(pictures(["a.png"], lambda i: b"", options(None, None, filter="nearest", skip_corrupt=True)))


@pytest.mark.parametrize(
    ("size", "crop"), [((64, 48), 140), ((48, 64), 140), ((16, 24), 150), ((3, 1), 200), (64, 140)]
)
def test_a_rectangle_is_cropped_to_its_shape_and_resized(size, crop):
    """config.data.crop is the longer side of the crop, which has the shape of the images and is in the centre."""
    x = smooth(218, 178)
    rows, columns = (size, size) if isinstance(size, int) else size
    high, wide = (round(crop * side / max(rows, columns)) for side in (rows, columns))
    top, left = (218 - high) // 2, (178 - wide) // 2
    expected = Image.fromarray(x[top : top + high, left : left + wide]).resize((columns, rows), FILTERS["bilinear"])
    found = read(encoded(x), crop=crop, image_size=size)
    assert found.shape == (rows, columns, 3)
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_a_picture_of_the_right_shape_needs_no_crop():
    x = smooth(8, 12)
    np.testing.assert_array_equal(read(encoded(x), image_size=(8, 12)), x)
    halved = Image.fromarray(x).resize((6, 4), FILTERS["bilinear"])
    np.testing.assert_array_equal(read(encoded(x), image_size=(4, 6)), np.asarray(halved))


@pytest.mark.parametrize(
    ("height", "width", "size", "crop", "message"),
    [
        (
            8,
            12,
            (12, 8),
            0,
            r"is 12x8, not of the shape 8x12 \(width x height\), and config.data.fit is none: set it to",
        ),
        (8, 12, (8, 8), 0, "is 12x8, not square, and config.data.fit is none: set it to cover"),
        (8, 12, (4, 4), 9, "is 12x8, smaller than config.data.crop=9"),
        (8, 12, (4, 8), 13, "is 12x8, smaller than config.data.crop=13"),
        (8, 12, (8, 4), 9, "is 12x8, smaller than config.data.crop=9"),
    ],
)
def test_a_picture_that_a_rectangle_does_not_fit(height, width, size, crop, message):
    with pytest.raises(BadInput, match=f"a.png: {message}"):
        read(encoded(smooth(height, width)), image_size=size, crop=crop, fit="none")
