"""Frames of a camera in order; segmentations out, each frame through the backbone once."""
