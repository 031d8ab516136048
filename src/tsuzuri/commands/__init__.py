"""The parts of the table of commands that `cli.py` puts together."""
