"""Tests of `causal`."""
