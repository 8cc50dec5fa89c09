"""What every package shares: the user's errors, atomic files, progress bars, language identification."""
