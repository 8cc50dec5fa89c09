"""How an adapter is trained: the plan, the loop, validation, checkpoints."""
