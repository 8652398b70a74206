"""Kill the VTN again and again (SIGKILL) while VENs report and answer an event that keeps changing.

What was acknowledged must be there afterwards: readings, answers, changes of the event.  What a VEN has answered must
not be offered to it once more.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from oadrvtn.console.client import ApiError
from oadrvtn.model.event import EventResponse, OadrCreatedEvent, OadrDistributeEvent, QualifiedEventID
from oadrvtn.model.party import EiResponse
from oadrvtn.wire import decode, encode

from .house import Track
from .load import FIRST_DAY, Ven, WrongAnswer
from .scenarios import Scenario
from .servers import Ours, Pki

_INTERVALS = 20
_SCENARIO = Scenario(name="kills", title="kills", answer="oadrUpdatedReport", intervals=_INTERVALS, rate=0)
_NO = ApiError, RuntimeError
Answered = tuple[str, int]  # event_id, modification_number


class _Life(Ven):
    """A VEN that reports, polls and answers, as fast as it can, and remembers what was acknowledged."""

    def __init__(self, job: dict[str, Any], name: str, over: threading.Event) -> None:
        super().__init__(job, _SCENARIO, name)
        self._over = over
        self.days: list[date] = []
        self.answered: set[Answered] = set()
        self.again: list[Answered] = []
        self.refused: list[str] = []
        self.begin_to_report(True)

    def live(self) -> None:
        """Until it is over."""
        while not self._over.is_set():
            try:
                self._report()
                self._poll_once()
            except OSError:  # killed, or not up again
                self.close()
                self._over.wait(0.05)
            except WrongAnswer as wrong:
                self.refused.append(str(wrong))
        self.close()

    def _report(self) -> None:
        day = FIRST_DAY + timedelta(days=self.sent)
        self.send(self.message(), b"oadrUpdatedReport")
        self.days.append(day)

    def _poll_once(self) -> None:
        message = decode(self.send(self.request("OadrPoll", self.poll), b"oadr")).message
        if not isinstance(message, OadrDistributeEvent):
            return
        keys = [(one.event.descriptor.event_id, one.event.descriptor.modification_number) for one in message.events]
        new = [key for key in keys if key not in self.answered]
        if not new:
            self.again += keys
        response = EiResponse(response_code="200", request_id=message.request_id)
        answers = tuple(
            EventResponse(
                response_code="200",
                request_id=message.request_id,
                qualified_event_id=QualifiedEventID(event_id=event_id, modification_number=number),
                opt_type="optIn",
            )
            for event_id, number in new
        )
        answer = OadrCreatedEvent(response=response, event_responses=answers, ven_id=self.name)
        self.send(self.request("EiEvent", encode(answer)), b"oadrResponse")
        self.answered.update(new)


def _lost(database: Path, vens: list[_Life], modification: int) -> dict[str, int]:
    """How much of what was acknowledged the database does not have."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        days = "date(start / 1000000, 'unixepoch')"
        query = f"SELECT ven_id, {days}, count(*) FROM readings GROUP BY 1, 2"
        there = {(ven_id, day): count for ven_id, day, count in connection.execute(query)}
        rows = connection.execute("SELECT ven_id, event_id, modification_number FROM ledger WHERE opt_type = 'optIn'")
        ledger = set(rows)
        (number,) = connection.execute("SELECT max(modification_number) FROM events").fetchone()
    return {
        "reports": sum(there.get((ven.name, day.isoformat())) != _INTERVALS for ven in vens for day in ven.days),
        "answers": sum((ven.name, *key) not in ledger for ven in vens for key in ven.answered),
        "changes": max(0, modification - number),
    }


def run(directory: Path, vens: int, kills: int, track: Track[Any]) -> dict[str, Any]:
    """The figures; ``lost`` and ``offered_again`` are to be 0."""
    pki = Pki.make(directory / "pki", vens, False, track)
    server = Ours(directory, pki, _SCENARIO)
    over, modification, chance = threading.Event(), -1, random.Random()
    job = {"port": server.port, "certs": str(pki.directory), "ca": pki.server["ca"]}
    lives = [_Life(job, name, over) for name in pki.vens]
    threads = [threading.Thread(target=life.live, daemon=True) for life in lives]
    try:
        for thread in threads:
            thread.start()
        for _ in track(range(kills), "kills", kills):
            until = time.monotonic() + chance.uniform(0.2, 1.5)
            while time.monotonic() < until:
                try:
                    server.news()
                except _NO:
                    continue
                modification += 1
                time.sleep(0.2)  # an answer to what has changed meanwhile would be refused
            server.kill()
            server.launch()
        time.sleep(3)  # the last start is lived with, too
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
        server.stop()
    lost = _lost(server.config.database_path, lives, modification)
    return {
        "vens": vens,
        "kills": kills,
        "reports_acknowledged": sum(len(life.days) for life in lives),
        "answers_acknowledged": sum(len(life.answered) for life in lives),
        "changes_acknowledged": modification + 1,
        **{f"lost_{what}": number for what, number in lost.items()},
        "offered_again": sum(len(life.again) for life in lives),
        "refused": sum(len(life.refused) for life in lives),
    }
