"""Stage `embed`: one vector per candidate."""
