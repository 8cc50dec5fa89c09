"""Where A and B stand before the first step, method by method."""
