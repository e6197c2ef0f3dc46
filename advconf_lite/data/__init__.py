"""Slice sets, the one data format: written, read, checked, split and resampled."""
