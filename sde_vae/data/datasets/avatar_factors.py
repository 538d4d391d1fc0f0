"""The factors of a cartoon face: 14 factors with named values, drawn independently from a seed.

All values are equally likely, except that half of the faces have no `facial_hair` and half no `accessory`. The values are parts
and colours of the package `python-avatars`. They are chosen so that a factor is visible in every face. Three factors are
exceptions, the colours of parts that a face may lack (`hidden`). These parts are therefore left out:

    hair astronaut, curly_2, long_hair_curly and loose_hair, hat hijab: take no beard, or no glasses
    hair shaved_sides and straight_2, hat chef_cap, clothing astronaut_suit: have their own colour
    hair hat: a hat, and not of `hat_color`
    accessory kurt: covers the eyes; hat jedi: covers the eyebrows
    hair caesar_side_part, nose default: at 32 pixels, hardly other than caesar and small
    clothing none: has no colour; clothing graphic_shirt: its picture is below the frame, and one needs a font
"""

import numpy as np


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


HAIR = _words(
    "none big_hair bob bun caesar curly curvy dreads frida frizzle fro_band fro long_not_too_long mia_wallace shaggy_mullet "
    "shaggy short_curly short_dreads_1 short_dreads_2 short_flat short_round short_waved sides straight_1 straight_strand "
    "braids bride buzzcut cornrows dreadlocks einstein_hair elvis evil_spike half_shaved mohawk mowgli pixie pompadour quiff "
    "twist_long_hair twist_long_hair_2 wick wild"
)
HATS = ("hat", "turban", "winter_hat_1", "winter_hat_2", "winter_hat_3", "winter_hat_4", "gladiator_helmet")
HAIR_COLORS = _words("auburn black blonde blonde_golden brown brown_dark pastel_pink platinum red silver_gray")
FABRIC_COLORS = _words(
    "black blue_01 blue_02 blue_03 gray_01 gray_02 heather pastel_blue pastel_green pastel_orange pastel_yellow pink red "
    "white"
)
# Names of the arguments of python_avatars.Avatar, and of the members of its enums. They are written down here, so that parts of a
# user or of a later version change no face. The order also determines the faces.
FACTORS: dict[str, tuple[str, ...]] = {
    "background_color": ("default", "black", "white"),  # "default" is sky blue
    "skin_color": ("tanned", "yellow", "pale", "light", "brown", "dark_brown", "black"),
    "top": HAIR + HATS,
    "hair_color": HAIR_COLORS,
    "hat_color": FABRIC_COLORS,
    "eyebrows": _words(
        "none angry_natural angry default_natural default flat_natural frown_natural raised_excited_natural raised_excited "
        "sad_concerned_natural sad_concerned unibrow_natural up_down_natural up_down"
    ),
    "eyes": _words("closed cry default eye_roll happy heart side squint surprised wink_wacky wink x_dizzy"),
    "nose": ("small", "wide"),
    "mouth": _words(
        "concerned default disbelief eating grimace sad scream_open serious smile tongue twinkle vomit big_smile"
    ),
    "facial_hair": _words(
        "none beard_light beard_magestic beard_medium moustache_fancy moustache_magnum einstein_moustache wick_beard"
    ),
    "facial_hair_color": HAIR_COLORS,
    "accessory": _words(
        "none eyepatch prescription_1 prescription_2 round sunglasses wayfarers sunglasses_2 wayfarers_2"
    ),
    "clothing": _words(
        "blazer_shirt blazer_sweater collar_sweater hoodie overall shirt_crew_neck shirt_scoop_neck shirt_v_neck bond_suit "
        "chef gladiator jedi_robe shirt_wick"
    ),
    "clothing_color": FABRIC_COLORS,
}
HALF_WITHOUT = ("facial_hair", "accessory")  # their value 0 is "none"

Factors = dict[str, int]  # factor name -> index into FACTORS[name]


def odds(name: str) -> np.ndarray:
    """Return the probabilities of a factor's values.

    >>> odds("nose").tolist()
    [0.5, 0.5]
    """
    n = len(FACTORS[name])
    return np.array([0.5] + [0.5 / (n - 1)] * (n - 1)) if name in HALF_WITHOUT else np.full(n, 1 / n)


def factors(seed: int) -> Factors:
    """Return the factors of face number `seed` >= 0. They depend on the number only."""
    u = np.random.default_rng(seed).random(len(FACTORS))
    # Without the last edge, which may be a little less than 1.
    edges = {name: np.cumsum(odds(name))[:-1] for name in FACTORS}
    return {name: int(np.searchsorted(edges[name], x, "right")) for name, x in zip(FACTORS, u, strict=True)}


def hidden(face: Factors) -> frozenset[str]:
    """Return the factors that are not visible in this face: changing them changes no pixel. Their values are noise."""
    visible = {
        "hair_color": 0 < face["top"] < len(HAIR),
        "hat_color": face["top"] >= len(HAIR),
        "facial_hair_color": face["facial_hair"] > 0,
    }
    return frozenset(name for name, is_visible in visible.items() if not is_visible)
