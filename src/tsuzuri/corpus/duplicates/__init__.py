"""What a corpus holds more than once: whole documents, near-copies of them, passages and a site's lines."""
