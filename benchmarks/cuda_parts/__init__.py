"""The parts of `benchmarks/cuda.py`, one per file; each is started by it as a process of its own."""

RESULT = "@result "
"""Begins a line of a part's output that is one result as JSON."""
