"""What Prometheus scrapes: gauges of what there is, counters and times of what happened since the start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from ..storage.times import Times

_GAUGES = {
    "vens": "VENs that are known",
    "vens_registered": "VENs that are registered",
    "vens_online": "VENs that were heard lately",
    "vens_waiting": "Certificates that wait for approval",
    "vens_suspended": "VENs that are suspended",
    "vens_live": "VENs whose live state is in memory",
    "events": "Events that are stored",
    "events_current": "Events that are still sent",
    "answers_overdue": "Answers to events that are overdue",
    "readings": "Readings that are stored",
    "report_requests": "Reports that VENs have accepted to send",
    "report_gaps_asked": "Reports that VENs were asked for to fill gaps",
    "provided_reports": "Reports of this VTN that VENs asked for and still get",
    "start_time_seconds": "When this VTN started, in seconds since 1970",
}

_QUEUES = ("outbox", "events", "writes", "reads")
"""What waits: to be told to VENs, for their answers to events, for the database's writer, for its readers."""

_TIMES = {
    "commit_seconds": "How long the database took to make a transaction last",
    "loop_lag_seconds": "How late the reactor came to what it was to do, looked at once in a second",
}

_LABELLED = {
    "certificates_expiring": ("Certificates that expire within 30 days, or have expired", "of"),
    "crls": ("CRLs, and authorities without one", "state"),
}
"""Gauges with a label each."""

_COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "messages": ("Messages that were answered", ("message", "response_code")),
    "tls_refused": ("TLS handshakes that were refused", ("reason",)),
    "readings_dropped": ("Readings that were dropped because they were old, in all", ()),
    "ocsp_answers": ("What OCSP responders said of certificates", ("status",)),
    "bends": ("Messages that were mended before they could be read", ("bend",)),
    "api_refused": ("Requests to the API that were refused", ("status",)),
    "limited": ("What was refused because of a limit", ("limit",)),
}


class Metrics:
    """A collector in a registry of its own, so that several VTNs in one process share nothing."""

    def __init__(self, **info: str) -> None:
        self._info = info
        self._gauges: Mapping[str, float] = {}
        self._queues: Mapping[str, int] = {}
        self._times: Mapping[str, Times] = {}
        self._labelled: Mapping[str, Mapping[Any, int]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(
        self,
        gauges: Mapping[str, float],
        queues: Mapping[str, int],
        times: Mapping[str, Times],
        **labelled: Mapping[Any, int],
    ) -> bytes:
        """The exposition: gauges, queues and times by name, and what has labels by its label or tuple of labels."""
        self._gauges, self._queues, self._times, self._labelled = gauges, queues, times, labelled
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks a collector."""
        yield InfoMetricFamily("oadrvtn", "Which VTN this is", self._info)
        for name, meaning in _GAUGES.items():
            yield GaugeMetricFamily(f"oadrvtn_{name}", meaning, value=self._gauges[name])
        waiting = GaugeMetricFamily("oadrvtn_queue_length", "What waits", labels=("queue",))
        for name in _QUEUES:
            waiting.add_metric((name,), self._queues[name])
        yield waiting
        for name, (meaning, label) in _LABELLED.items():
            gauge = GaugeMetricFamily(f"oadrvtn_{name}", meaning, labels=(label,))
            for key, count in self._labelled[name].items():
                gauge.add_metric((key,), count)
            yield gauge
        for name, meaning in _TIMES.items():
            times = self._times[name]
            yield HistogramMetricFamily(f"oadrvtn_{name}", meaning, buckets=times.buckets, sum_value=times.total)
        for name, (meaning, labels) in _COUNTERS.items():
            family = CounterMetricFamily(f"oadrvtn_{name}", meaning, labels=labels)
            for key, count in self._labelled[name].items():
                family.add_metric(key if isinstance(key, tuple) else (key,), count)
            yield family
