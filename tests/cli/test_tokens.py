"""Tokens at the command line: shown once, listed, revoked."""

from __future__ import annotations

from .case import CliTestCase


class TokenTests(CliTestCase):
    def test_a_token_is_shown_once_and_works(self) -> None:
        said = self.good("token", "create", "anna", "--scope", "read", "--expires", "1d")
        self.has(said, "anna", "good to read until 2026-11-23T12:00:00Z", "not shown again")
        token = said.split()[-1]
        self.assertEqual(200, self.office.ask("GET", "/api/v1/status", token=token).status)
        listed = self.good("token", "list")
        self.has(listed, "anna", "read", "local", "2026-11-23T12:00:00Z")
        self.assertNotIn(token, listed)

    def test_a_token_lasts_ninety_days_if_nothing_else_is_said(self) -> None:
        self.assertEqual("2027-02-20T12:00:00Z", self.shown("token", "create", "a", "--scope", "admin")["expires_at"])
        self.has(self.good("token", "create", "b", "--scope", "admin", "--expires", "never"), "for always")

    def test_a_revoked_token_works_no_more_and_is_listed_as_such(self) -> None:
        token = self.shown("token", "create", "anna", "--scope", "read")["token"]
        self.has(self.good("token", "revoke", "anna"), "revoked")
        self.assertEqual(401, self.office.ask("GET", "/api/v1/status", token=token).status)
        (row,) = self.shown("token", "list")["tokens"]
        self.assertEqual("2026-11-22T12:00:00Z", row["revoked_at"])

    def test_what_cannot_be_is_told(self) -> None:
        self.has(self.refused("token", "create", "anna", "--scope", "root", code=2), "read")
        self.has(self.refused("token", "create", "anna", code=2), "--scope")
        self.has(self.refused("token", "create", "anna", "--scope", "read", "--expires", "soon"), "soon")
        self.has(self.refused("token", "revoke", "nobody"), "not known")
