"""The chat over HTTP: who may ask, requests of the OpenAI form, and their answers in batches."""
