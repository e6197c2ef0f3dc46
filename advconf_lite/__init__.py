"""Confidence prediction for medical image segmentation, trained with its own adversarial images.

A small core for the course in `notebooks/`: Lennartz & Schultz, "Adversarial Perturbations Improve Generalization of
Confidence Prediction in Medical Image Segmentation", MIDL 2025.
"""

__version__ = "0.1.0"
