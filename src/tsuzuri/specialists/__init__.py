"""Many small models that act as one, joined by Apache Kafka."""
