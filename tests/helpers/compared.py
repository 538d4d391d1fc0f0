"""A comparison of which nothing was trained."""

import argparse

import compare
import numpy as np


def of_table(table, workdir, changes=None):
    of = {"data": "digits", "budget": "small", "table": table, "name": "t", "workdir": workdir, "seeds": 1}
    comparison = compare.Comparison(argparse.Namespace(**of, rows=None, latents=[4]), changes or {})
    comparison.rows_directory = workdir / "rows"
    return comparison


def keep(comparison, name):
    """As if it had been trained: nothing but a = 1 was measured."""
    row, pictures = comparison.rows[name], comparison.rows_directory / "pictures.npz"
    pictures.parent.mkdir(exist_ok=True)
    save_pictures(pictures)
    directory = comparison.row_directory(row, 4, 0)
    compare.keep(directory, compare.fields(row, comparison.config_of(row, 4, 0)), "", {"a": 1.0}, pictures)
    return row


def save_pictures(path):
    images = np.full((12, 8, 8, 1), 0.6, np.float32)
    np.savez(path, **{name: images for name in ("original", "baseline/pca", "reconstruction", "baseline/mean_image")})
