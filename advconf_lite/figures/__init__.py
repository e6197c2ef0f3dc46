"""Figures: one palette, one style, one file per kind."""
