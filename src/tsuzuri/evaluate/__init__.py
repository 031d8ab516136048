"""What a model is worth: bits per byte and character on held-out documents, and repetition."""
