"""Train, evaluate and sample: `python main.py --help`."""

import sys

from sde_vae.cli import main

if __name__ == "__main__":
    sys.exit(main())
