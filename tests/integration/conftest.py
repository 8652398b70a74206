"""Tests with a real reactor: each one fails on what it leaves in the log or in the reactor."""

from tests.hygiene import critical_events

__all__ = ["critical_events"]
