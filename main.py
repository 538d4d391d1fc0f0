"""Train, evaluate and sample: `python main.py --help`."""

import sys

from sde_vae.errors import missing_package

try:
    from sde_vae.cli import main
except ModuleNotFoundError as error:
    sys.exit(missing_package(error))

if __name__ == "__main__":
    sys.exit(main())
