"""Texts: the forms in which they are compared, and the language they are in."""
