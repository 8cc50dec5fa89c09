"""Talking to the base and its adapters while their answers denoise: in the terminal and on a local web page."""
