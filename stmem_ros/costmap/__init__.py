"""Labels, poses and camera models in; a grid that rolls with the robot out."""
