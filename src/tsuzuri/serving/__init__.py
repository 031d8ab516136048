"""An engine that writes text, the API that everybody calls, accounts and a playground. Extra: serve."""
