"""A browser without a driver, and servers to open in it."""
