"""Stage `cluster`: K-Means, and a picture of it."""
