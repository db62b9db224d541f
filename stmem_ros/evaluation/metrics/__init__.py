"""What is counted of labels and grids, and the figures that follow from the counts."""
