"""From volumes to slices: reading, orientation, montage."""
