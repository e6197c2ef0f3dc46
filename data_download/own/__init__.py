"""Own images: how any folder of them is understood."""
