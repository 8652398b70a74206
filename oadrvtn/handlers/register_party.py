"""EiRegisterParty: registration."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred

from ..model.config import Config
from ..model.errors import InvalidID, NotRegistered
from ..model.party import (
    OadrCanceledPartyRegistration,
    OadrCancelPartyRegistration,
    OadrCreatePartyRegistration,
    OadrQueryRegistration,
    OadrResponse,
)
from ..model.schema import Message
from ..model.values import shown
from ..vtn import registration
from ..vtn.hooks import Hooks
from .exchange import Exchange
from .resource import ServiceResource

_DECIDES = "on_create_party_registration"


@attrs.frozen
class Applicant(OadrCreatePartyRegistration):
    """A VEN's registration as a function of ``add_handler`` gets it: with the fingerprint of the certificate."""

    fingerprint: str = attrs.field(kw_only=True)

    @classmethod
    def of(cls, message: OadrCreatePartyRegistration, fingerprint: str) -> Applicant:
        """This message, from the owner of this certificate."""
        return cls(**attrs.asdict(message, recurse=False), fingerprint=fingerprint)


class EiRegisterParty(ServiceResource):
    """Registration of VENs."""

    service = "EiRegisterParty"
    methods = {  # noqa: RUF012
        OadrQueryRegistration: "on_query_registration",
        OadrCreatePartyRegistration: "on_create_party_registration",
        OadrCancelPartyRegistration: "on_cancel_party_registration",
        OadrCanceledPartyRegistration: "on_canceled_party_registration",
        OadrResponse: "on_response",
    }

    def on_query_registration(self, payload: OadrQueryRegistration, exchange: Exchange) -> Any:
        """What the VTN supports, and the VEN's IDs if it is registered."""
        return self.apply(payload, exchange)

    def on_create_party_registration(self, payload: OadrCreatePartyRegistration, exchange: Exchange) -> Any:
        """Register a VEN.

        May also return a registration_id or a pair (ven_id, registration_id), which register the VEN and,
        under the policy ``handler``, let in a certificate that was not known
        (``exchange.entry`` is None then, ``exchange.fingerprint`` tells which); None or False refuse it (463).
        """
        if _DECIDES in self.vtn.hooks:
            applicant = Applicant.of(payload, exchange.fingerprint)
            return self.ask(_DECIDES, exchange, applicant).addCallback(self._decided)
        if exchange.entry is None and self.policy != "open":
            return None
        return self._register(exchange, payload.ven_id, None)

    def _decided(self, value: Any) -> Any:
        if isinstance(value, Message):
            raise TypeError(f"{_DECIDES} returned an {value.name()} instead of IDs")
        return value

    def complete(self, value: Any, exchange: Exchange) -> Any:
        """A registration may be answered by its IDs."""
        if not isinstance(exchange.message, OadrCreatePartyRegistration) or isinstance(value, Message):
            return super().complete(value, exchange)
        if value is None or value is False:
            raise NotRegistered("the registration was refused")
        pair = isinstance(value, tuple) and len(value) == 2
        ven_id, registration_id = value if pair else (exchange.message.ven_id, value)
        if not all(isinstance(part, str) and part for part in (ven_id or "x", registration_id)):
            raise TypeError(f"{shown(repr(value))} is neither a registration_id nor a pair (ven_id, registration_id)")
        return self._register(exchange, ven_id, registration_id)

    def _register(self, exchange: Exchange, ven_id: str | None, registration_id: str | None) -> Deferred[Any]:
        entry, message = exchange.entry, exchange.message
        registration.check_offer(message)
        if entry is not None:
            if ven_id not in (None, "", entry.ven.ven_id):
                raise InvalidID(f"venID {shown(ven_id)} is not the one that this certificate was given")
            return self.vtn.handle(entry, message, registration_id, exchange.once)
        source = "open" if self.policy == "open" else "handler"
        return self.vtn.write(
            "enroll",
            exchange.once(registration.enroll),
            self.vtn.config,
            exchange.certificate,
            ven_id,
            source,
            message,
            registration_id,
        )

    def on_cancel_party_registration(self, payload: OadrCancelPartyRegistration, exchange: Exchange) -> Any:
        """A VEN ends its registration."""
        return self.apply(payload, exchange)

    def on_canceled_party_registration(self, payload: OadrCanceledPartyRegistration, exchange: Exchange) -> Any:
        """A VEN confirms that the VTN ended its registration."""
        return self.apply(payload, exchange)


def policy_of(config: Config, cls: type[ServiceResource], hooks: Hooks) -> str:
    """The policy for unknown certificates; whoever decides on registrations in code wants to be asked."""
    own = getattr(cls, _DECIDES) is not getattr(EiRegisterParty, _DECIDES)
    return config.registration.policy or ("handler" if own or _DECIDES in hooks else "closed")
