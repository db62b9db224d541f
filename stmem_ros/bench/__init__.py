"""Measurements of speed and of the costmap's trustworthiness: ``stmem bench``."""
