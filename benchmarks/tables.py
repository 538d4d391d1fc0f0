"""Fills the tables of README.md and docs/*.md from benchmarks/results.

    python -m benchmarks.tables            fills every region
    python -m benchmarks.tables --check    exits 1, naming the region, if one is not what the results say

A region lies between `<!-- table: NAME -->` and `<!-- /table -->`; what is between them is replaced. TABLES has the names.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.arguments import parser_of
from benchmarks.record import RESULTS, markdown
from benchmarks.summaries import TABLES
from sde_vae.errors import BadInput, choose, exit_code
from sde_vae.files import write_text

ROOT = Path(__file__).parent.parent
REGION = re.compile(r"(?<=<!-- table: )(\S+)( -->\n)(.*?)(?=<!-- /table -->)", re.DOTALL)
MARKER = re.compile(r"^<!-- (table: |/table)", re.MULTILINE)


def pages(root: Path = ROOT) -> list[Path]:
    return [path for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))) if path.exists()]


def region(name: str, page: Path) -> str:
    """The lines of a table for `page`, with a link to the result's own page. Raises BadInput for an unknown name."""
    table = choose("<!-- table: -->", name, TABLES)
    link = os.path.relpath(RESULTS / f"{table.result}.md", page.parent)
    rows, caption = table.make(table.result)
    return "\n".join([*markdown(rows), "", f"{caption} [All figures and the command]({link})."]) + "\n"


def filled(page: Path) -> str:
    """The text of `page` with every region made anew. Raises BadInput for a region that is not closed."""
    text = page.read_text()
    if len(MARKER.findall(text)) != 2 * len(REGION.findall(text)):
        raise BadInput(
            f"{page}: a region is not closed, or not opened; expected <!-- table: NAME --> ... <!-- /table -->"
        )
    return REGION.sub(lambda found: f"{found[1]}{found[2]}{region(found[1], page)}", text)


def stale(page: Path) -> Iterator[str]:
    """The names of the regions of `page` that differ from the results."""
    for before, after in zip(REGION.findall(page.read_text()), REGION.findall(filled(page)), strict=True):
        if before != after:
            yield before[0]


def main() -> int:
    parser = parser_of("benchmarks.tables", __doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a region is stale")
    if parser.parse_args().check:
        return check(pages())
    return exit_code(lambda: [write_text(page, filled(page)) for page in pages()])


def check(checked: list[Path]) -> int:
    """0, or 1 after naming every stale region."""
    found: list[tuple[Path, str]] = []
    code = exit_code(lambda: found.extend((page, name) for page in checked for name in stale(page)))
    for page, name in found:
        print(
            f"{page}: the table {name} is not what benchmarks/results says; run python -m benchmarks.tables",
            file=sys.stderr,
        )
    return code or int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
