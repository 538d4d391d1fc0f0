"""The command line with a signal in it: `python -m benchmarks.faults.victim SIGNAL N WORKDIR ARGUMENT ...`.

The process sends itself SIGNAL (KILL, TERM, INT) at the N-th time that Python opens, makes, renames or removes something under WORKDIR.
With N = 0 it sends none, and prints the number of these events last.
"""

import os
import signal
import sys

EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def main(words: list[str]) -> int:
    number, at, workdir = signal.Signals[f"SIG{words[0]}"], int(words[1]), os.path.abspath(words[2])
    seen = [0]

    def hook(event: str, arguments: tuple) -> None:
        if event not in EVENTS or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if not os.path.abspath(os.fsdecode(arguments[0])).startswith(workdir):
            return
        seen[0] += 1
        if seen[0] == at:
            os.kill(os.getpid(), number)

    from sde_vae.cli import main as command

    sys.addaudithook(hook)
    code = command(words[3:])
    print(f"events {seen[0]}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
