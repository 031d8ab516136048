"""What makes specialists one model to whoever asks: it holds every request until it has ended, once."""
