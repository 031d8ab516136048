"""Text to ids and back: learning a vocabulary, reading it, comparing it with others."""
