"""Standing wishes: readings that are wanted of every VEN that offers them, now and whenever it registers again.

They stand in the configuration ([[reports]]) or were made by operators.  A wish has the same ID as long as it
says the same, so one that moves from the one place to the other changes nothing for the VENs.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection
from datetime import datetime

import attrs

from ..model.config import Config, WantedReport
from ..model.errors import InvalidData, InvalidID, NotAllowed
from ..model.report import OadrReportRequest
from ..model.values import shown
from ..storage import audience, notes, outbox, reports
from ..storage.database import Txn
from ..storage.reports import OPEN, DataPoint, Offer
from ..storage.vens import Ven
from . import requests
from .changes import Changes, dated
from .outbox import next_vens

_ASKED = "wishes asked up to"  # the note of how far the VENs are asked for wishes that have changed


@attrs.frozen
class Wish:
    """A standing wish; ``source`` is "config", or "operator" where only the database knows it."""

    wish_id: str
    source: str
    wanted: WantedReport


def wishes(txn: Txn, config: Config) -> list[Wish]:
    """All standing wishes, those of the configuration first."""
    wanted = {_id(_written(wish)): Wish(_id(_written(wish)), "config", wish) for wish in config.reports}
    for wish_id, document in reports.wishes_put(txn).items():
        wanted.setdefault(wish_id, Wish(wish_id, "operator", WantedReport(**json.loads(document))))
    return list(wanted.values())


def _written(wanted: WantedReport) -> str:
    """What a wish says, in one form."""
    said = attrs.asdict(wanted, filter=lambda field, value: value is not None)
    return json.dumps(said, sort_keys=True)


def _id(written: str) -> str:
    return "wish-" + hashlib.sha256(written.encode()).hexdigest()[:16]


def known(txn: Txn, config: Config, wish_id: str) -> Wish:
    """The wish of an ID.  Raises InvalidID."""
    for wish in wishes(txn, config):
        if wish.wish_id == wish_id:
            return wish
    raise InvalidID(f"wish_id: {shown(wish_id)} is not known")


def add_wish(txn: Txn, config: Config, wanted: WantedReport, now: datetime) -> tuple[Wish, Changes]:
    """Want readings of all VENs that offer them, and ask those that are registered; once more changes nothing.

    Raises InvalidData for a group that does not exist.
    """
    if wanted.group_id is not None and audience.group(txn, wanted.group_id) is None:
        raise InvalidData.at("group_id", f"{shown(wanted.group_id)} is no group of this VTN")
    written = _written(wanted)
    wish_id = _id(written)
    if wish_id not in reports.wishes_put(txn):
        reports.put_wish(txn, wish_id, written, now)
    wish = known(txn, config, wish_id)
    return wish, ask_all(txn, config, now)


def remove_wish(txn: Txn, config: Config, wish_id: str, now: datetime) -> tuple[None, Changes]:
    """Give up a wish, and have the VENs stop; raises InvalidID, and NotAllowed for one of the configuration."""
    wish = known(txn, config, wish_id)
    if wish.source == "config":
        raise NotAllowed(f"wish {wish_id!r} stands in the configuration file: take it out there")
    reports.drop_wish(txn, wish_id)
    return None, ask_all(txn, config, now)


def ask_all(txn: Txn, config: Config, now: datetime) -> Changes:
    """Begin to reconcile all VENs."""
    notes.put(txn, _ASKED, "")
    return ask_on(txn, config, now)[1]


def ask_on(txn: Txn, config: Config, now: datetime) -> tuple[bool, Changes]:
    """Reconcile the next VENs; whether there may be more (a duty)."""
    found = [ven.ven_id for ven in next_vens(txn, _ASKED)]
    return bool(found), Changes(reconcile(txn, config, found, now) if found else frozenset())


def reconcile(txn: Txn, config: Config, ven_ids: Collection[str], now: datetime) -> frozenset[str]:
    """Ask these VENs for what is wanted and was not asked, and take back what no wish wants any more.

    What a VEN refused, finished or no longer lists is not asked again before it says anew what it offers.
    Returns the VENs that something was queued for.
    """
    return frozenset(_reconcile(txn, config, ven_ids, now, offers=0))


def wanted_of(txn: Txn, config: Config, ven: Ven, now: datetime) -> list[OadrReportRequest]:
    """The same for a VEN that offers its reports: the requests for the answer to it."""
    return _reconcile(txn, config, [ven.ven_id], now, offers=1).get(ven.ven_id, [])


def _reconcile(
    txn: Txn, config: Config, ven_ids: Collection[str], now: datetime, offers: int
) -> dict[str, list[OadrReportRequest]]:
    """What was asked of each VEN that is concerned, each request in an entry of its own: one may be refused."""
    asked = reports.wished(txn, ven_ids)
    made: dict[str, list[OadrReportRequest]] = defaultdict(list)
    waiting: Counter[str] | None = None
    for wish in wishes(txn, config):
        missing = [
            offer
            for offer in reports.offers(txn, wish.wanted, ven_ids)
            if asked.pop((offer.ven_id, offer.report_specifier_id, wish.wish_id), None) is None
        ]
        points = reports.wanted_points(txn, wish.wanted, [offer.capability_id for offer in missing]) if missing else {}
        if missing and waiting is None:
            waiting = Counter(outbox.lengths(txn, ven_ids))
        for offer in missing:
            assert waiting is not None
            chosen = _by_granularity(wish.wanted, points[offer.capability_id, offer.report_specifier_id])
            if waiting[offer.ven_id] + len(chosen) > config.limits.outbox:
                continue  # it is asked when it says anew what it offers
            waiting[offer.ven_id] += len(chosen)
            for granularity, sampled in chosen.items():
                request = _make(txn, wish, offer, granularity, sampled, now)
                requests.ask(txn, requests.registered(txn, offer.ven_id), [request], now, offers)
                made[offer.ven_id].append(request)
    if asked:  # what is left serves no wish any more
        reports.forget_wishes(txn, [id for found in asked.values() for id, _ in found])
        moot: dict[Ven, list[str]] = defaultdict(list)
        for (ven_id, *_), found in asked.items():
            if running := [id for id, state in found if state in OPEN]:
                moot[requests.registered(txn, ven_id)] += running
        requests.withdraw(txn, moot, now)
        made.update({ven.ven_id: made[ven.ven_id] for ven in moot})
    return made


def _by_granularity(wanted: WantedReport, points: list[DataPoint]) -> dict[float, list[DataPoint]]:
    """The points by how often they are sampled: all alike where they can be, as one request has one granularity (7.9).

    A single report has no samples.
    """
    common = requests.fitting(wanted.granularity, points)
    if not wanted.report_back_duration or all(requests.fitting(common, [point]) == common for point in points):
        return {common: points}
    found: dict[float, list[DataPoint]] = defaultdict(list)
    for point in points:
        found[requests.fitting(wanted.granularity, [point])].append(point)
    return found


def _make(
    txn: Txn, wish: Wish, offer: Offer, granularity: float, points: list[DataPoint], now: datetime
) -> OadrReportRequest:
    wanted = wish.wanted
    # Who samples more seldom than it is to report would have nothing to say in between.
    back = wanted.report_back_duration and max(wanted.report_back_duration, granularity)
    specifier = requests.specify(offer.report_specifier_id, points, granularity, back, dated(now) if back else None)
    return requests.make(
        txn, offer.ven_id, specifier, now, offer.capability_id, wanted.report_name, wish_id=wish.wish_id
    )
