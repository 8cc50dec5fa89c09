"""The small tokenizer, encoder and base."""
