"""Many VENs at once: all of them come in, or none, and then every mistake is told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import get_args

import attrs

from ..model.config import Config, Signatures
from ..model.errors import InvalidData, Mistake
from ..model.values import ANY_URI, STRING, shown
from ..security import fingerprint
from ..storage import audience, vens
from ..storage.audience import GROUP, PROGRAM, Trait
from ..storage.database import Txn
from ..wire import bends
from .audience import misfits, reconcile
from .changes import Changes


@attrs.frozen(kw_only=True)
class NewVen:
    """A VEN that is to be let in: known by one or two certificates of 10 or 32 bytes; None: as configured.

    ``poll_frequency`` is in seconds, ``signing_fingerprint`` has 32 bytes; ``traits`` are values by their kinds.
    """

    ven_id: str
    name: str
    fingerprints: tuple[bytes, ...]
    poll_frequency: float | None = None
    leniency: str | None = None
    signatures: str | None = None
    signing_fingerprint: bytes | None = None
    traits: Mapping[str, Sequence[str]] = attrs.field(factory=dict)


def import_vens(
    txn: Txn, config: Config, read: Sequence[NewVen | None], unread: Sequence[Mistake], now: datetime
) -> tuple[int, Changes]:
    """Let VENs in; how many.  Raises InvalidData with all mistakes, at ``[number of the VEN].field``.

    VENs that could not be read are None; why, ``unread`` says.
    """
    if mistakes := [*unread, *_mistakes(txn, config, read)]:
        raise InvalidData.of(sorted(mistakes, key=lambda mistake: int(mistake.place[1:].partition("]")[0])))
    new = [ven for ven in read if ven]
    usual = config.registration.poll_frequency
    vens.add_many(
        txn,
        [
            {
                "ven_id": ven.ven_id, "name": ven.name, "source": "operator", "created_at": now,
                "poll_frequency": usual, "wanted_poll_frequency": ven.poll_frequency, "leniency": ven.leniency,
                "signatures": ven.signatures, "signing_fingerprint": ven.signing_fingerprint,
            }
            for ven in new
        ],
        [(ven.ven_id, known) for ven in new for known in ven.fingerprints],
        now,
    )  # fmt: skip
    told: dict[Trait, list[str]] = defaultdict(list)
    for ven in new:
        for kind, values in ven.traits.items():
            for value in values:
                told[Trait(kind, value, "operator")].append(ven.ven_id)
    for trait, ven_ids in told.items():
        audience.add_traits(txn, ven_ids, [trait])
    if told:
        reconcile(txn, {ven_id for ven_ids in told.values() for ven_id in ven_ids}, now)
    return len(new), Changes(vens=frozenset(ven.ven_id for ven in new))


def _mistakes(txn: Txn, config: Config, read: Sequence[NewVen | None]) -> Iterator[Mistake]:
    new = [(number, ven) for number, ven in enumerate(read) if ven]
    present = audience.known(txn, [ven.ven_id for _, ven in new])
    owners = vens.owners(txn, [fingerprint.short(known) for _, ven in new for known in ven.fingerprints])
    groups = {group.group_id for group in audience.groups(txn)}
    for number, ven in new:
        if ven.ven_id in present:
            yield Mistake(f"[{number}].ven_id", f"{shown(ven.ven_id)} exists, or is there twice")
        present.add(ven.ven_id)
        shorts = dict.fromkeys(map(fingerprint.short, ven.fingerprints))
        if not 1 <= len(shorts) == len(ven.fingerprints) <= 2:
            yield Mistake(f"[{number}].fingerprints", "a VEN has one or two certificates")
        for index, short in enumerate(shorts):
            if short in owners:
                reason = f"{fingerprint.show(short)} belongs to VEN {shown(owners[short])}"
                yield Mistake(f"[{number}].fingerprints[{index}]", reason)
            owners[short] = ven.ven_id
        for field, allowed in (("leniency", tuple(bends.PROFILES)), ("signatures", get_args(Signatures))):
            value = getattr(ven, field)
            if value is not None and value not in allowed:
                yield Mistake(f"[{number}].{field}", f"{shown(value)} is none of {', '.join(allowed)}", allowed)
        if ven.signing_fingerprint and len(ven.signing_fingerprint) != fingerprint.FULL:
            yield Mistake(f"[{number}].signing_fingerprint", "is not the whole SHA-256 of a certificate")
        if ven.poll_frequency is not None:
            try:
                attrs.evolve(config.registration, poll_frequency=ven.poll_frequency)
            except ValueError as error:
                yield Mistake(f"[{number}].poll_frequency", str(error))
        for kind, values in ven.traits.items():
            yield from misfits(f"[{number}].{kind}[{{}}]", values, ANY_URI if kind == PROGRAM else STRING)
        for index, group_id in enumerate(ven.traits.get(GROUP, ())):
            if group_id not in groups:
                yield Mistake(f"[{number}].group_ids[{index}]", f"{shown(group_id)} is no group of this VTN")
