"""What every package shares: the user's errors, atomic files, progress bars. Standard library and rich alone."""
