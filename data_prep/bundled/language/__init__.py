"""Words, facts and plain text that the rows and the base are made of."""
