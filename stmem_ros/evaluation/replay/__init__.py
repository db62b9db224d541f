"""Bags replayed through the pipeline that the node runs."""
