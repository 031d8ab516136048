"""Text out of a model: sampling, stopping, streaming of whole characters, scores and vectors."""
