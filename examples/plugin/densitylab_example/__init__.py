"""A plug-in for DensityLab."""
