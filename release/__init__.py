"""What leaves the project: merged weights, uploads, sizes. No stage depends on it."""
