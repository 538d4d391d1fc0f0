"""What the command line does with a run: train, evaluate, export to files, release."""
