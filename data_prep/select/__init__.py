"""Stage `select`: from all rows to the candidates."""
