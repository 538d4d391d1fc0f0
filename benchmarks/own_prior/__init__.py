"""A prior that diffusers trained, and ScoreVAE's encoder on it."""
