"""All 23 messages by their local names: import this to have every table declared."""

from __future__ import annotations

from . import event, opt, party, report
from .schema import MESSAGES, Message

__all__ = ["MESSAGES", "Message", "event", "opt", "party", "report"]
