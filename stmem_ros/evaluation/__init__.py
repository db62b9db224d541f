"""How good and how steady labels and grids are: ``stmem evaluate``."""
