"""The synthetic world: a procedural street with exact labels, depth, poses and ground truth.

``scene`` says what stands where, ``render`` what a camera sees of it, ``drive`` how the ego
vehicle moves through it. Classes are CamVid's. World frame: x along the main street, y left, z up,
ground at z = 0, in m.
"""
