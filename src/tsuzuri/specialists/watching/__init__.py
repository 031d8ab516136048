"""What specialists, gateways and the broker look like, to whoever watches."""
