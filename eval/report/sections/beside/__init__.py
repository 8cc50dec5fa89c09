"""Sections on what is measured beside the test set: public suites, refusals, English."""
