"""Sizes of medical images: what lies outside is in another unit, or a mistake. Constants alone, for workers import them."""

USUAL_MM = (0.05, 50.0)  # of a pixel
LARGEST_SIDE = 8192  # pixels of a plane that anybody works on
