"""What answers for one revision of one specialist: a model behind a queue of requests."""
