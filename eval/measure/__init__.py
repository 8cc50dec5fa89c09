"""Stage `evaluate`: one system on the test set."""
