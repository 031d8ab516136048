"""How good a text is: its metrics from one compiled pass, named profiles of thresholds over them, words that
it should not be full of, and the language that it is in."""
