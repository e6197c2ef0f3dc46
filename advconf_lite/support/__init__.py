"""The ground: errors, whole files, progress, processes, randomness."""
