"""Who there is, who lives, who holds what lease: a view made of records."""
