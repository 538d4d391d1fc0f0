from pathlib import Path

from setuptools import find_packages, setup

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
        "jaxtyping>=0.3",
        "matplotlib",
        "numpy",
        "scikit-learn",
        "tensorboardX>=2.6",
        "tqdm",
    ],
    extras_require={
        "cuda": ["jax[cuda13]>=0.10,<0.12"],
        "tpu": ["jax[tpu]>=0.10,<0.12"],
        "tensorboard": ["tensorboard"],
        "test": ["beartype>=0.23", "pytest", "pytest-timeout", "ruff", "scipy"],
        "dev": ["pre-commit", "ruff"],
    },
)
