"""One bag through one model: the work, where it is done, and what sees its frames."""
