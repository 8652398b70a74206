"""Rules against messages that come again: the nonce of a signed one is used in the transaction that it causes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from ..model.config import Config
from ..security.signature import SignatureRefused
from ..storage import nonces
from ..storage.database import Txn
from .changes import NOTHING, Changes

Rule = Callable[..., Any]


def use(txn: Txn, signer: bytes, timestamp: datetime, nonce: str, now: datetime) -> tuple[None, Changes]:
    """Note a signed message; raises SignatureRefused for one that was here before.

    ``signer`` is the SHA-256 of the certificate that signed it.
    """
    if not nonces.use(txn, signer, timestamp, nonce):
        since = nonces.since(txn)
        if since and timestamp < since:
            raise SignatureRefused(f"the timestamp is before {since}, of which nothing is known any more")
        raise SignatureRefused("the nonce was used before")
    return None, NOTHING


def once(signer: bytes, timestamp: datetime, nonce: str) -> Callable[[Rule], Rule]:
    """Makes a rule one that can be run for this message once: what is rolled back leaves the nonce unused."""

    def bind(rule: Rule) -> Rule:
        def guarded(txn: Txn, *arguments: Any) -> Any:
            use(txn, signer, timestamp, nonce, arguments[-1])
            return rule(txn, *arguments)

        return guarded

    return bind


def forget(txn: Txn, config: Config, now: datetime) -> tuple[None, Changes]:
    """Drop the nonces of messages that are too old by now to be accepted again."""
    nonces.forget(txn, now - timedelta(seconds=config.security.signature_age))
    return None, NOTHING
