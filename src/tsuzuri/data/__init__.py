"""Token shards: packing documents into them, and drawing training rows from them. Imports no torch."""
