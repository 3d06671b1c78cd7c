"""Benchmarks: predict once, score as often as one likes, and say what a number means."""
