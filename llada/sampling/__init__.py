"""The reverse process: settings, the denoising loop, and the rules that commit tokens."""
