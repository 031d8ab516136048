"""A chain of stages, each of which makes one box from the boxes before it; and those who run chains."""
