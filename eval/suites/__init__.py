"""Public Indonesian test suites in their published forms: read, asked, scored, compared."""
