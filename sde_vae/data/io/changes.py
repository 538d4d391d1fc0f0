"""What decoding did to pictures beside reading them, and one line a kind that says so."""

from collections.abc import Mapping

# Kind -> what is said of the pictures with it.
TEXTS = {
    "first_frame": "several frames or pages, of which the first is read",
    "16_bits": "16 bits a channel, of which the upper 8 are read",
    "turned": "turned upright, as the EXIF orientation says",
    "cmyk": "CMYK, converted to RGB without its colour profile",
    "grey": "grey, its channel repeated",
    "colourless": "RGB without any colour, read as grey",
    "to_grey": "colour converted to grey (config.data.to_grey)",
    "flattened": "transparent in places, put onto config.data.background",
    "opaque": "without alpha, which is set to 255",
    "cover": "of another shape than the images, cut at the longer side (config.data.fit=cover)",
    "contain": "of another shape than the images, padded (config.data.fit=contain)",
    "enlarged": "smaller than the images, enlarged",
}


def change_notes(name: str, changes: Mapping[str, int], total: int) -> tuple[str, ...]:
    """Return a line for each kind of change, with the number of pictures of `total` that had it.

    >>> change_notes("photos", {"turned": 2}, 40)
    ('photos: 2 of 40 pictures: turned upright, as the EXIF orientation says',)
    """
    return tuple(f"{name}: {changes[kind]} of {total} pictures: {TEXTS[kind]}" for kind in TEXTS if changes.get(kind))
