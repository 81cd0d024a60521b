"""The metrics as a scrape shows them: what was counted, and what is asked at this moment.

prometheus-client writes the text. This module loads it, so it is imported at the first scrape. Its own counters would
cost the hot path four times as much as ours.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from relay.services.core import Core
from relay.services.exposition_books import told
from relay.services.metrics import Counts, Histogram, Labels, Metrics

Values = Iterable[tuple[Labels, float]]

STATES = ("closed", "open", "half_open")


def exposition(core: Core) -> bytes:
    """Everything this relay shows, the process's own figures included, in Prometheus's text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(core))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class Collector:
    """A collector in prometheus-client's sense. Its labels are names from the settings and from our own code."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._metrics: Metrics = core.metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._counted()
        yield from self._queues()
        yield from self._health()
        yield from self._books()
        yield from self._storage()
        yield from self._server()
        uptime = time.monotonic() - self._core.started
        yield gauge("relay_uptime_seconds", "Since this process opened its storage.", (), one(uptime))

    def _counted(self) -> Iterator[Metric]:
        m = self._metrics
        labels: Labels = ("route", "method", "status")
        yield self._counter("relay_requests", "Answers sent.", labels, m.requests)
        yield self._times(
            "relay_request_seconds", "Until the answer, or a stream, began.", ("route",), m.request_seconds
        )
        labels = ("backend", "task", "code")
        yield self._counter("relay_upstream_calls", "Calls of a backend, by how they ended.", labels, m.upstream_calls)
        labels = ("backend", "task")
        yield self._times(
            "relay_upstream_seconds", "Calls of a backend, without the queue.", labels, m.upstream_seconds
        )
        yield self._counter("relay_errors", "Errors sent, by their code.", ("code",), m.refusals)
        yield counter("relay_credits_charged", "Credits charged for answers.", (), one(m.credits_charged))
        over = m.copy_of(m.streams)
        yield counter("relay_streams", "Streams that are over, by how they ended.", ("outcome",), over.items())
        yield gauge("relay_streams_open", "Streams being sent now.", (), one(m.streams_opened - sum(over.values())))

    def _queues(self) -> Iterator[Metric]:
        label, slots = ("backend",), self._core.infer.slots
        running = [((name,), each.running) for name, each in slots.items()]
        yield gauge("relay_queue_running", "Calls a backend works on now.", label, running)
        limit = [((name,), each.max_concurrent) for name, each in slots.items()]
        yield gauge("relay_queue_slots", "Calls a backend works on at most.", label, limit)
        waiting = [((name,), each.waiting) for name, each in slots.items()]
        yield gauge("relay_queue_waiting", "Calls in line before a backend.", label, waiting)
        refused = [((name,), each.refused) for name, each in slots.items()]
        yield counter("relay_queue_refused", "Calls refused because the line was full.", label, refused)

    def _health(self) -> Iterator[Metric]:
        health = self._core.infer.breaker.state()
        states = [((name, state), int(seen["state"] == state)) for name, seen in health.items() for state in STATES]
        yield gauge("relay_backend_state", "1 for the state a backend is in.", ("backend", "state"), states)
        failures = [((name,), seen["consecutive_failures"]) for name, seen in health.items()]
        yield gauge("relay_backend_failures", "Failures of a backend in a row.", ("backend",), failures)

    def _books(self) -> Iterator[Metric]:
        for each in told(self._core):
            made = counter if each.kind == "counter" else gauge
            yield made(each.name, each.text, each.labels, each.values)

    def _storage(self) -> Iterator[Metric]:
        """What the storage tells of itself, if it does."""
        stats = getattr(self._core.storage, "stats", None)
        told = stats() if callable(stats) else {}
        for name, text in STORAGE.items():
            if name in told:
                yield counter(f"relay_storage_{name}", text, (), one(told[name]))

    def _server(self) -> Iterator[Metric]:
        told = self._metrics.server() if self._metrics.server is not None else {}
        for name, text in SERVER.items():
            if name in told:
                yield gauge(f"relay_{name}", text, (), one(told[name]))

    def _counter(self, name: str, text: str, labels: Labels, counts: Counts) -> Metric:
        return counter(name, text, labels, self._metrics.copy_of(counts).items())

    def _times(self, name: str, text: str, labels: Labels, histogram: Histogram) -> Metric:
        family = HistogramMetricFamily(name, text, labels=labels)
        for values, (buckets, total) in self._metrics.copy_of_times(histogram).items():
            family.add_metric(values, cumulative(histogram.bounds, buckets), total)
        return family


STORAGE = {
    "batches": "Writes to the disk that were waited for.",
    "commits": "Changes in those writes: divided by the batches, how many share one.",
    "write_seconds": "Time those writes took: divided by the batches, how long a commit waits for the disk.",
}
"""What a storage's `stats()` may tell, all of it since the start."""

SERVER = {
    "threads": "Threads that answer requests.",
    "threads_busy": "Threads that answer a request now.",
    "requests_queued": "Requests that wait for a thread.",
    "connections_open": "Connections of callers.",
    "spool_disk_bytes": "Request bodies waiting on disk.",
    "spool_memory_bytes": "Request bodies waiting in memory.",
}


def cumulative(bounds: Iterable[float], buckets: list[int]) -> list[tuple[str, float]]:
    total, found = 0, []
    for bound, count in zip([*map(str, bounds), "+Inf"], buckets, strict=True):
        total += count
        found.append((bound, float(total)))
    return found


def counter(name: str, text: str, labels: Labels, values: Values) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def gauge(name: str, text: str, labels: Labels, values: Values) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def one(value: float) -> Values:
    """The value of a metric without labels."""
    return [((), value)]
