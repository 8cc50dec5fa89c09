"""Evaluation of the base and its adapters: likelihood bound, generation, metrics, statistics, report, card."""
