"""Stage `inputs`: rows, encoder and base resolved to files on this machine."""
