"""What an operator types, and how it reaches what runs."""
