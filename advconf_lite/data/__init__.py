"""Slice sets, the phantom and its scanners."""
