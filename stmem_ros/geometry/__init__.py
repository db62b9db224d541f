"""Cameras, their rays, the ground plane, and transforms between frames."""
