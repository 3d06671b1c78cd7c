"""Samples as a data set: balanced, split, written, described, uploaded."""
