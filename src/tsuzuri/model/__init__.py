"""The decoder, its sizes, and its passage to and from Hugging Face."""
