"""Masked diffusion: the forward process, the loss, the likelihood bound."""

from llada.diffusion.likelihood import LikelihoodEstimate, log_likelihood, log_likelihoods
from llada.diffusion.loss import forward_process, masked_diffusion_loss
from llada.diffusion.noise import noise_levels, noise_mask

__all__ = [
    "LikelihoodEstimate",
    "forward_process",
    "log_likelihood",
    "log_likelihoods",
    "masked_diffusion_loss",
    "noise_levels",
    "noise_mask",
]
