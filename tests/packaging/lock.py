"""Write the lock files: every package that an install brings, its version, and the SHA-256 of each of its published files.

    python tests/packaging/lock.py [OPTION OF uv pip compile ...]

`make lock` runs it, and needs uv. Versions in the files stay, unless `--upgrade` or `--upgrade-package NAME` is given. The files serve
every platform and every Python from 3.11: a package that only some of them need has a marker.

requirements.lock            what `pip install .` brings, and setuptools, which builds it
requirements-test.lock       what the extras test and dev add, and lpips, of which only the files of weights are read
requirements-torch.lock      torch, which some tests compare with; the index's build for Linux is for CUDA, with gigabytes of libraries
requirements-torch-cpu.lock  instead of that, torch's own build for CPUs, where pip finds it: a file for Linux, x86_64 and Python 3.11
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
# lpips asks for torchvision, which we do not need.
LEFT_OUT = ("torchvision",)
CUDA = re.compile("(nvidia|cuda)-|(triton|torch)$")
# The SHA-256 of torch's own build for CPUs, which is not on the index.
CPU = {"2.13.0": "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"}


def compiled(options: Iterable[str], inputs: str, versions: str) -> dict[str, str]:
    """Return name -> its lines in a lock file. `inputs` are the requirements, and `versions` those to stay."""
    with tempfile.TemporaryDirectory() as folder:
        asked, lock = Path(folder, "asked.in"), Path(folder, "out.lock")
        asked.write_text(inputs)
        lock.write_text(versions)
        words = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version=3.11", "--generate-hashes"]
        words += ["--no-header", "--no-annotate", *(f"--no-emit-package={name}" for name in LEFT_OUT), "-o", lock]
        subprocess.run([*words, *options, "setup.py", asked], cwd=ROOT, check=True)
        text = lock.read_text()
    return {block.partition("==")[0]: block for block in re.findall(r"^[^\s#].*\n(?: +.*\n)*", text, re.MULTILINE)}


def write(path: Path, blocks: Iterable[str]) -> None:
    path.write_text("".join(["# Made by `make lock`, for pip install --require-hashes --no-deps.\n", *blocks]))


def main() -> None:
    paths = {part: ROOT / f"requirements{part}.lock" for part in ("", "-test", "-torch")}
    old = "".join(path.read_text() for path in paths.values() if path.exists())
    options = sys.argv[1:]
    extras = ["--extra=test", "--extra=dev"]
    whole = compiled([*options, *extras], "setuptools\nlpips==0.1.4\n", old)
    base = compiled([], "setuptools\n", "".join(whole.values())).keys()
    parts: dict[str, list[str]] = {part: [] for part in paths}
    for name, block in whole.items():
        part = "" if name in base else "-torch" if CUDA.match(name) else "-test"
        parts[part].append(block)
    for part, path in paths.items():
        write(path, parts[part])
    version = whole["torch"].split()[0].partition("==")[2]
    write(ROOT / "requirements-torch-cpu.lock", [f"torch=={version}+cpu --hash=sha256:{CPU[version]}\n"])


if __name__ == "__main__":
    main()
