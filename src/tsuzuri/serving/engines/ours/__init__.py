"""Our own engine: the decoder of `model/gpt.py`, served to many at once from a cache of fixed size."""
