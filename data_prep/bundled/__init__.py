"""The bundled default: corpus generator, tokenizer, small encoder, small base model. No network, no download."""
