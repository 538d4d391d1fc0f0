"""What is given for inputs as people bring them: folders, zips and tables that another program has made, loaded one by one.

    python -m benchmarks.faults.cases DIR [--only NAME ...]

DIR holds an input a name of ROWS. Each is loaded with its settings, as --mode train does first; nothing is trained.
"""

import contextlib
import io
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NamedTuple

from benchmarks.arguments import parser_of
from benchmarks.faults.record import record_section
from sde_vae.build.config import load_config, set_fields
from sde_vae.build.experiment import build
from sde_vae.errors import BadInput

COLOUR, GREY, ALPHA = {"channels": 3}, {"channels": 1}, {"channels": 4}
CELEBA = {"name": "celeba", "channels": 3}
# An input of DIR, and settings of config.data with which it is loaded, beside name=folder and image_size=16.
ROWS: tuple[tuple[str, dict], ...] = (
    *(("photos_of_many_sizes", COLOUR | more) for more in ({"crop": 20}, {"crop": 30}, {}, {"fit": "contain"})),
    *(("all_landscape", COLOUR | more) for more in ({}, {"fit": "contain"}, {"fit": "none"})),
    ("one_grey_among_colour", COLOUR),
    ("one_grey_among_colour", GREY),
    ("one_grey_among_colour", GREY | {"to_grey": True}),
    ("transparent", COLOUR),
    ("transparent", COLOUR | {"background": 255}),
    ("transparent", ALPHA),
    ("sixteen_bit", GREY),
    *((f"only_{ending}", COLOUR) for ending in ("webp", "bmp", "tif")),
    ("mixed_endings", COLOUR),
    ("links", COLOUR),
    ("links", COLOUR | {"follow_links": True}),
    ("windows_slashes.zip", COLOUR),
    ("one_huge", COLOUR | {"crop": 16}),
    ("train_val_classes", COLOUR),
    ("classes", COLOUR),
    ("five_pictures", COLOUR),
    ("eleven_pictures", COLOUR),
    ("all_black", COLOUR),
    *((f"celeba_{name}", CELEBA) for name in ("kaggle", "as_on_drive", "one_folder_below")),
    *((f"attributes_{name}", COLOUR) for name in ("semicolon", "labels", "true_false")),
)


class Row(NamedTuple):
    """An input, its settings, how loading it ended (loads, refused or traceback), and what is said."""

    input: str
    settings: str
    outcome: str
    said: str


def load(root: Path, name: str, settings: dict, cache: Path) -> Row:
    """Load one input, as a command does before it trains."""
    fields = {"name": "folder", "image_size": 16, **settings}
    changes = {f"data.{field}": value for field, value in fields.items()}
    paths = {"data.dir": str(root / name), "data.cache": str(cache)}
    text = " ".join(f"{field}={value}" for field, value in settings.items())
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            data = build(set_fields(load_config("default"), {**changes, **paths})).load()
    except BadInput as error:
        return Row(name, text, "refused", str(error).replace(f"{root}/", ""))
    # Whatever else escapes is what this looks for.
    except Exception as error:
        traceback.print_exc()
        return Row(name, text, "traceback", type(error).__name__)
    splits = ", ".join(f"{split} {len(part.images)}" for split, part in data.splits.items())
    attributes = [f"{len(data.attributes)} attributes"] if len(data.attributes) > 3 else list(data.attributes)
    said = [f"{splits} of {'x'.join(map(str, data.shape))}", *attributes, *data.notes]
    return Row(name, text, "loads", "; ".join(line.removeprefix(f"{data.name}: ") for line in said))


def rows(root: Path, only: tuple[str, ...] = ()) -> list[Row]:
    """Load every input of ROWS that `only` names, all without it."""
    with tempfile.TemporaryDirectory() as cache:
        return [load(root, name, settings, Path(cache)) for name, settings in ROWS if not only or name in only]


def main() -> int:
    parser = parser_of("benchmarks.faults.cases", __doc__)
    parser.add_argument("dir", type=Path, help="the folder of the inputs")
    parser.add_argument("--only", nargs="*", default=[], help="inputs; nothing is recorded then")
    arguments = parser.parse_args()
    found = rows(arguments.dir.resolve(), tuple(arguments.only))
    if arguments.only:
        print(*found, sep="\n")
        return 0
    counts = {outcome: sum(row.outcome == outcome for row in found) for outcome in ("loads", "refused", "traceback")}
    record_section(
        "cases",
        "Inputs as people bring them",
        ["input", "`config.data.*`", "gives", "and says"],
        [[cell.replace("|", "\\|") for cell in row] for row in found],
        f"Of {len(found)} rows, {counts['loads']} load, {counts['refused']} are refused in one line, and {counts['traceback']} end in a "
        "traceback. All have image_size=16, and the data set is `folder` if no other is named.",
        {"counts": counts},
    )
    return int(counts["traceback"] > 0)


if __name__ == "__main__":
    sys.exit(main())
