"""Commands that measure systems beside the stage `evaluate`."""
