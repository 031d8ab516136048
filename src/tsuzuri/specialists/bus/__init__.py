"""Records from one process to another: one seam, over Kafka's protocol or within one process."""
