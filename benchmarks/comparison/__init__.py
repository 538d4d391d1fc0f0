"""Trains and evaluates the methods of arXiv:2304.12141 alike, and tabulates them."""
