"""Write docs/config.md, the page of all config fields, from `build.fields`.

python -m sde_vae.build.config_page             writes the page
python -m sde_vae.build.config_page --check     exits with code 1 if the page is not up to date
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sde_vae.build.fields import STAGES, Field, fields_by_section
from sde_vae.files import write_text

PAGE = Path(__file__).parent.parent.parent / "docs" / "config.md"
COMMAND = "python -m sde_vae.build.config_page"
INTRO = """# Config fields

This page is generated from `sde_vae/build/fields.py` by `python -m sde_vae.build.config_page`.

A config holds all settings of a run. The example configs in `configs/` state only the fields that differ from the defaults below.

On the command line a field is set as `--config.SECTION.FIELD=VALUE`:

    python main.py --config configs/scorevae_digits.py --mode train --config.model.latent_dim=8 --config.data.dir="my images"

Tuples are written as in Python, `--config.model.prior.multipliers="(1, 2)"`; names in them need no quotes:
`--config.eval.evaluators=reconstruction,latents`. A tuple of one value may be given as that value, the empty one as `()` or `None`, a
whole number as `1e3`.

In Python a config is an object with the same fields:

    config = sde_vae.load_config("scorevae_digits")
    config.model.latent_dim = 8
    sde_vae.train(config, "runs/mine")

A field that does not exist, or a value that is not allowed, is refused with one line. It names the field, the value and what is
allowed. Fields of other methods, data sets and solvers are not read: each one that is set on the command line all the same is named
in a line.
"""


def page() -> str:
    """Return the text of docs/config.md."""
    parts = [INTRO]
    for section, fields in fields_by_section():
        if not section.startswith("stages."):
            prefix = f"{section}." if section else ""
            rows = [_row(f"{prefix}{name}", _code(field.default), field) for name, field in fields.items()]
            parts.append(_table(section or "The run", rows))
        elif section == f"stages.{STAGES[0]}":
            parts.append(_table("stages", _stage_rows(), f"STAGE is one of {', '.join(STAGES)}."))
    return "\n".join(parts)


def _stage_rows() -> Iterator[str]:
    """Yield the rows of the stages: one for a field with the same meaning in all, with the defaults side by side."""
    sections = dict(fields_by_section())
    stages = {stage: sections[f"stages.{stage}"] for stage in STAGES}
    for name, field in stages[STAGES[0]].items():
        if any(stage[name].meaning != field.meaning for stage in stages.values()):
            for stage in STAGES:
                yield _row(f"stages.{stage}.{name}", _code(stages[stage][name].default), stages[stage][name])
            continue
        defaults = {stage: _code(stages[stage][name].default) for stage in STAGES}
        same = len(set(defaults.values())) == 1
        default = defaults[STAGES[0]] if same else ", ".join(f"{stage}: {text}" for stage, text in defaults.items())
        yield _row(f"stages.STAGE.{name}", default, field)


def _table(title: str, rows: Iterable[str], note: str = "") -> str:
    head = ["| field | default | allowed | meaning |", "|---|---|---|---|"]
    return "\n".join([f"## {title}", "", *([note, ""] if note else []), *head, *rows, ""])


def _row(name: str, default: str, field: Field) -> str:
    # The rows of the stages, which have one text, name no readers: a stage reads its fields if it is trained.
    where = f"; only where {field.reader.text}" if field.reader.text and not name.startswith("stages.") else ""
    return f"| `{name}` | {default} | {_cell(field.allowed.text)} | {_cell(field.meaning + where)} |"


def _code(default: object) -> str:
    if default == "":
        return "empty"
    return f"`{default}`" if isinstance(default, str) else f"`{default!r}`"


def _cell(text: str) -> str:
    """Return text for a cell of a table: vertical bars are escaped, and pages of docs/ are links."""
    return re.sub(r"docs/(\w+\.md)", r"[\1](\1)", text.replace("|", r"\|"))


def main(argv: Sequence[str]) -> int:
    """Write the page, or check it with --check. Returns the exit code."""
    if list(argv) not in ([], ["--check"]):
        print(f"error: expected no argument or --check, got {' '.join(argv)}", file=sys.stderr)
        return 2
    if not argv:
        write_text(PAGE, page())
        return 0
    if not PAGE.is_file() or PAGE.read_text() != page():
        print(f"error: {PAGE.name} is not up to date; run: {COMMAND}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
