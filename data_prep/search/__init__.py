"""Candidates by meaning."""
