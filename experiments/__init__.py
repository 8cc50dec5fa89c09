"""Trainings beside the graph, run by hand: learning rates and seeds."""
