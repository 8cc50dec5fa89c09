"""How often a system refuses: a file of harmful prompts, a rule that anybody can read, and the rule's own errors."""
