"""The HTTP API: OpenAI's, as far as a model that continues text can answer it."""
