"""From sources to documents: collect, decode, extract, normalise, filter, deduplicate, split. Imports no
torch."""
