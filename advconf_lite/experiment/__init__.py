"""One run: its data, its folder and its stages."""
