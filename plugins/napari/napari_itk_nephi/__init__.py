"""Deformable image registration with neural fields (NePhi) in napari."""
