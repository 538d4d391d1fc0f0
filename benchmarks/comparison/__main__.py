"""Train and evaluate every method of arXiv:2304.12141, and lifted encoders, alike: PCA, beta-VAE, DiffuseVAE, DiffDecoder,
ScoreVAE, ScoreVAE+.

    python -m benchmarks.comparison --data digits|fashion_mnist|avatars32|... [--seeds 3] [--latents 4 16]
        [--budget small|paper] [--rows NAME ...] [--table compare|levers|bounds|curves] [--name NAME] [--workdir DIR]
        [--config.section.field=value ...]

Tables: `compare` compares methods on the test split. On the validation split, `levers` changes one thing of ScoreVAE a row,
`bounds` sweeps beta with the likelihood weight, and `curves` sweeps the number of training steps.

Writes benchmarks/results/NAME.{json,md,png} after every row; NAME defaults to TABLE_DATA. Rows found in NAME.json are not trained
again, so the same command resumes, and seeds, latent sizes and rows can be added. Networks are trained in --workdir (by default
runs/NAME); of several commands at once each takes one of its own. All methods share configs/scorevae_DATA.py with the settings in
settings.py and --config; --budget paper takes ten times the steps. Needs the extra `benchmarks`.
"""

import sys
from pathlib import Path

from benchmarks.arguments import overrides, parser_of
from benchmarks.comparison.plan import Options
from benchmarks.comparison.run import compare
from sde_vae import runtime
from sde_vae.errors import exit_code


def main() -> int:
    parser = parser_of("benchmarks.comparison", __doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--latents", type=int, nargs="+")
    parser.add_argument("--budget", default="small")
    parser.add_argument("--rows", nargs="+")
    parser.add_argument("--table", default="compare")
    parser.add_argument("--name")
    parser.add_argument("--workdir", type=Path)
    options, rest = parser.parse_known_args()
    runtime.enable_compilation_cache()
    return exit_code(lambda: compare(Options(**vars(options)), overrides(rest)))


if __name__ == "__main__":
    sys.exit(main())
