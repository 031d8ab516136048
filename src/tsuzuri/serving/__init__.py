"""An engine that writes text, the API that everybody already calls, accounts and a playground. Extra: serve."""
