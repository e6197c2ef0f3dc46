"""Virtual patients in virtual scanners: anatomy, tissue, MR signal, coil, k-space, noise."""
