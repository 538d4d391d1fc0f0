"""Compares solvers: quality against evaluations of the score."""
