"""The only training loop, and what it stands on. Evaluation and samples reach it as hooks."""
