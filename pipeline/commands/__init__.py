"""One file per command beside the stages: its options and its body."""
