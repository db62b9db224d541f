"""The stages of training, and the builder of MAR's memory bank."""
