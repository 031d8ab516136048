"""What writes tokens, behind one interface: our own decoder, any OpenAI-compatible upstream, and a mock."""
