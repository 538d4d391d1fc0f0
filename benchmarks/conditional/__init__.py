"""Estimators of the score of x given an observation, compared on tasks of image restoration."""
