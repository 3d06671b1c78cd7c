"""Readers of data sets in their official layouts, one short file each."""
