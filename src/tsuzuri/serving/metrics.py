"""What Prometheus reads: vLLM's names with `tsuzuri:` before them, so its dashboards need one change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tsuzuri.serving.models import TextModel

TTFT_BUCKETS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
ITL_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
LATENCY_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
"""Seconds."""


class Metrics:
    """The counters of one server."""

    def __init__(self, models: Callable[[], Iterable[TextModel]]) -> None:
        self.registry = CollectorRegistry()
        histogram = partial(Histogram, labelnames=("model_name",), registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        of_model = ("model_name",)
        self.first_token = histogram(
            "tsuzuri:time_to_first_token_seconds",
            "From a request's arrival to its first text",
            buckets=TTFT_BUCKETS,
        )
        self.inter_token = histogram(
            "tsuzuri:inter_token_latency_seconds", "Between two parts of a text", buckets=ITL_BUCKETS
        )
        self.latency = histogram(
            "tsuzuri:e2e_request_latency_seconds", "Of whole answers", buckets=LATENCY_BUCKETS
        )
        self.prompt_tokens = counter("tsuzuri:prompt_tokens", "Tokens of prompts", of_model)
        self.generation_tokens = counter("tsuzuri:generation_tokens", "Tokens written", of_model)
        self.finished = counter(
            "tsuzuri:request_success", "Samples by how they ended", ("model_name", "finished_reason")
        )
        self.filtered = counter("tsuzuri:filtered", "What the filters found", ("model_name", "kind"))
        self.overloads = counter("tsuzuri:overloads", "Requests told to come again, by server or engine")
        self.http = counter(
            "tsuzuri:http_requests", "Requests by route and status", ("method", "handler", "status")
        )
        self.registry.register(_Engines(models))

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


class _Engines(Collector):
    """What the engines say of themselves when they are asked."""

    def __init__(self, models: Callable[[], Iterable[TextModel]]) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        gauges = {
            name: GaugeMetricFamily(f"tsuzuri:{name}", help, labels=("model_name",))
            for name, help in (
                ("num_requests_running", "Samples being read or written"),
                ("num_requests_waiting", "Samples that wait for a place"),
                ("kv_cache_usage_perc", "Share of the cache that is taken, 0 to 1"),
                ("generation_tokens_per_second", "Tokens written a second, lately"),
                ("engine_up", "Whether the engine can go on"),
            )
        }
        counters = {
            name: CounterMetricFamily(f"tsuzuri:{name}", help, labels=("model_name",))
            for name, help in (
                ("prefix_cache_queries", "Tokens of prompts looked for in the cache"),
                ("prefix_cache_hits", "Of these, tokens found"),
                ("engine_steps", "Steps of the engine"),
            )
        }
        for model in self._models():
            label, stats = (model.facts.name,), model.stats()
            capacity = stats.cache_capacity_tokens
            gauges["num_requests_running"].add_metric(label, stats.running)
            gauges["num_requests_waiting"].add_metric(label, stats.waiting)
            gauges["kv_cache_usage_perc"].add_metric(label, stats.cache_tokens / capacity if capacity else 0)
            gauges["generation_tokens_per_second"].add_metric(label, stats.tokens_per_s)
            gauges["engine_up"].add_metric(label, stats.failure is None)
            counters["prefix_cache_queries"].add_metric(label, stats.prompt_tokens)
            counters["prefix_cache_hits"].add_metric(label, stats.cached_tokens)
            counters["engine_steps"].add_metric(label, stats.steps)
        yield from gauges.values()
        yield from counters.values()
