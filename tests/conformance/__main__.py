"""``python -m tests.conformance`` writes docs/conformance.rst."""

from __future__ import annotations

from .matrix import PAGE, page

PAGE.write_text(page(), "utf-8")
