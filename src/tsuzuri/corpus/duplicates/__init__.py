"""What a corpus holds more than once.

Four answers, each from Parquet files of documents, out of core, the same bytes for any number of workers:

- `exact`: documents whose folded texts are equal.
- `near.near_duplicates`: documents whose sets of character 5-grams are alike.
- `passages.repeated_passages`: long passages that an earlier document has.
- `boilerplate.boilerplate_lines`: lines on page after page of one site.

They change nothing: the first two name documents, the others spans, which `spans.cut` takes out of a text.
What has fallen out by one takes no part in the next (`taking_part`), lest a document be cut for a copy that
is gone.
"""
