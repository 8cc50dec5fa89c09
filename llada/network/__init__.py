"""The network as published: configuration, modules, caches, and the strict check of a checkpoint folder."""
