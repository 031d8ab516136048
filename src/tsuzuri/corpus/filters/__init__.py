"""What a document must be to stay: measures of a text, and the rules that give the reason why it goes."""
