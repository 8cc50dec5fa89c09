"""What is measured on an answer, and the statistics of comparing two systems."""
