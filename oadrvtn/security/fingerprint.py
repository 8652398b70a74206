"""Certificate fingerprints: the bytes by which a VEN's certificate is known.

OpenADR 2.0b shows the last 10 bytes of the SHA-256 of the DER certificate as ``AA:BB:...``.  We keep
all 32 bytes where we can: ten are enough to show to people, and weak as the only key.
"""

from __future__ import annotations

import hashlib
import hmac

SHORT = 10
FULL = 32


def sha256(der: bytes) -> bytes:
    """The full fingerprint, 32 bytes, of a DER certificate."""
    return hashlib.sha256(der).digest()


def short(full: bytes) -> bytes:
    """OpenADR's fingerprint: the last 10 bytes of the full one."""
    return full[-SHORT:]


def show(fingerprint: bytes) -> str:
    """A fingerprint of any length as people write it, ``AA:BB:...``."""
    return fingerprint.hex(":").upper()


def parse(text: str) -> bytes:
    """Read a fingerprint of 10 or 32 bytes in hex of any case, with or without colons or spaces.

    Raises ValueError with a text for the person who wrote it.
    """
    try:
        fingerprint = bytes.fromhex(text.replace(":", " "))
    except ValueError:
        raise ValueError(f"{text!r} is no fingerprint: it holds more than pairs of hex digits") from None
    if len(fingerprint) not in (SHORT, FULL):
        raise ValueError(
            f"{text!r} is no fingerprint: it has {len(fingerprint)} bytes, "
            f"not {SHORT} (OpenADR's form) or {FULL} (the whole SHA-256)"
        )
    return fingerprint


def matches(known: bytes, full: bytes) -> bool:
    """Whether ``known`` (10 or 32 bytes) is the certificate with this full fingerprint; in constant time."""
    return hmac.compare_digest(known, short(full) if len(known) == SHORT else full)
