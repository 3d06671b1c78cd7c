"""What `GET /metrics` tells Prometheus: requests, queue, latency, masks, caches, memory."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from sama_video.app.server.conversations import ConversationStats

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Conversations(Collector):
    """The caches of all devices, summed when Prometheus asks."""

    def __init__(self, read: Callable[[], Sequence[ConversationStats]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """The figures."""
        stats = self._read()

        def total(name: str) -> int:
            return sum(int(getattr(one, name)) for one in stats)

        found = CounterMetricFamily(
            "sama_conversations_sought", "Requests with past turns, by how many were remembered.", labels=("found",)
        )
        for label, name in (("all", "hits"), ("some", "partial_hits"), ("none", "misses")):
            found.add_metric((label,), total(name))
        turns = CounterMetricFamily("sama_past_turns", "Past turns, by how they were placed.", labels=("by",))
        for label, name in (("cache", "turns_reused"), ("replay", "turns_replayed")):
            turns.add_metric((label,), total(name))
        yield from (found, turns)
        yield CounterMetricFamily("sama_conversations_evicted", "Dropped to make room.", value=total("evictions"))
        yield GaugeMetricFamily("sama_conversations", "Remembered now.", value=total("conversations"))
        yield GaugeMetricFamily("sama_conversation_bytes", "What they take.", value=total("bytes"))


class Metrics:
    """The figures of one server. Every server of a process has its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = self._counter("sama_requests", "Requests by route and status.", ("method", "route", "status"))
        self.request_seconds = self._histogram("sama_request_seconds", "Whole requests.", ("route",))
        self.queue_seconds = self._histogram("sama_queue_seconds", "Time that a job waited for a device.")
        self.first_token_seconds = self._histogram(
            "sama_first_token_seconds", "From the request to the first text of its answer, the queue included."
        )
        self.refused = self._counter("sama_queue_refused", "Jobs refused because the queue was full.")
        self.cancelled = self._counter("sama_jobs_cancelled", "Jobs ended because the client had gone.")
        self.tokens = self._counter("sama_tokens", "Tokens read, found in a cache, written.", ("kind",))
        self.masks = self._counter("sama_masks", "Masks made; their rate is masks per second.")
        self.uploads = self._counter("sama_uploads", "Clips offered, by what became of them.", ("outcome",))

    def watch(self, name: str, told: str, read: Callable[[], float | int]) -> None:
        """Show a figure that is read when Prometheus asks."""
        Gauge(name, told, registry=self.registry).set_function(lambda: float(read()))

    def watch_conversations(self, read: Callable[[], Sequence[ConversationStats]]) -> None:
        """Show what the caches of conversations did and hold."""
        self.registry.register(_Conversations(read))

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, told: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, told, labels, registry=self.registry)

    def _histogram(self, name: str, told: str, labels: tuple[str, ...] = ()) -> Histogram:
        return Histogram(name, told, labels, buckets=SECONDS, registry=self.registry)
