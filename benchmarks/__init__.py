"""Benchmarks. Run each from the repository root: `python -m benchmarks.comparison`, `.solvers`, `.speed.data`, `.mixture_gap`, ..."""
