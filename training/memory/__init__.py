"""What a training will need, counted before it starts."""
