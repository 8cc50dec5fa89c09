"""Rows in, tokenised splits out: sources, selection, embedding, clustering, splitting, leakage audit, formatting."""
