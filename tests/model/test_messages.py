"""The list of messages, held against the Alliance's schema; how messages behave as values."""

from __future__ import annotations

import attrs
from lxml import etree
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model import messages
from oadrvtn.model.messages import MESSAGES
from oadrvtn.model.party import OadrPoll
from tests.peers import openleadr

_XS = "{http://www.w3.org/2001/XMLSchema}"


class Messages(SynchronousTestCase):
    def test_are_those_that_an_oadr_signed_object_may_hold(self) -> None:
        schema = etree.parse(str(openleadr().xsd / "oadr_20b.xsd"))
        signed_object = schema.find(f"{_XS}element[@name='oadrSignedObject']")
        assert signed_object is not None
        names = {str(element.get("ref")).removeprefix("oadr:") for element in signed_object.iter(_XS + "element")}
        self.assertEqual(set(MESSAGES), names - {"None"})
        self.assertEqual(len(MESSAGES), 23)

    def test_go_under_their_own_names(self) -> None:
        for name, cls in MESSAGES.items():
            self.assertEqual((cls.name(), cls.tag, cls.__name__.lower()), (name, f"oadr:{name}", name.lower()))

    def test_name_the_service_that_takes_them(self) -> None:
        services: dict[str | None, set[str]] = {}
        for name, cls in MESSAGES.items():
            services.setdefault(cls.service, set()).add(name)
        self.assertEqual(
            services,
            {
                "EiRegisterParty": {
                    "oadrQueryRegistration",
                    "oadrCreatePartyRegistration",
                    "oadrCancelPartyRegistration",
                    "oadrCanceledPartyRegistration",
                },
                "EiEvent": {"oadrRequestEvent", "oadrCreatedEvent"},
                "EiReport": {
                    f"oadr{word}Report"
                    for word in (
                        *("Register", "Registered", "Create", "Created"),
                        *("Update", "Updated", "Cancel", "Canceled"),
                    )
                },
                "EiOpt": {"oadrCreateOpt", "oadrCancelOpt"},
                "OadrPoll": {"oadrPoll"},
                # An oadrResponse may come to any service; the others only a VTN sends.
                None: {
                    "oadrResponse",
                    "oadrDistributeEvent",
                    "oadrCreatedPartyRegistration",
                    "oadrRequestReregistration",
                    "oadrCreatedOpt",
                    "oadrCanceledOpt",
                },
            },
        )

    def test_have_a_text_that_says_what_they_are_for(self) -> None:
        for cls in MESSAGES.values():
            self.assertTrue(cls.__doc__)

    def test_are_values(self) -> None:
        poll = OadrPoll(ven_id="ven")
        self.assertEqual((poll.ven_id, poll["ven_id"], poll.schema_version), ("ven", "ven", "2.0b"))
        self.assertRaises(KeyError, lambda: poll["vtn_id"])
        self.assertEqual(poll.evolve(ven_id="other"), OadrPoll(ven_id="other"))
        self.assertEqual(len({poll, OadrPoll(ven_id="ven")}), 1)
        self.assertRaises(attrs.exceptions.FrozenInstanceError, setattr, poll, "ven_id", "other")
        self.assertRaises(TypeError, OadrPoll)
        self.assertRaises(TypeError, OadrPoll, ven_id="ven", vtn_id="vtn")

    def test_are_all_imported(self) -> None:
        self.assertEqual({cls.__module__.rpartition(".")[2] for cls in MESSAGES.values()}, set(messages.__all__[2:]))
