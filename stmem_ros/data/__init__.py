"""Data sets, training windows, disturbances, and the synthetic world."""
