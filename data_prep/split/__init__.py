"""Stage `split`: training, validation and test rows, and the audit that nothing leaks between them."""
