"""Measures speed: the solvers' loops, the data pipeline, the metric networks."""
