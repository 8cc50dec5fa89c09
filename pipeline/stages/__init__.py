"""One small file per stage: load what the stage before left, call one component."""
