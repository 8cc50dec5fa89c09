"""Autoregressive models beside the diffusion ones: any causal language model of transformers, run by its own classes.

What is ours is small: loading without foreign code, the loss through the chunked head, exact likelihoods, batches.
"""
