"""The files of an evaluation: their format, how they are written, read and compared."""
