"""Bytes that are no document of ours, and what is told of them."""

from __future__ import annotations

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.errors import Unreadable, VtnError
from oadrvtn.model.party import OadrPoll
from oadrvtn.wire import decode, encode
from tests.effort import MOMENT, effort

POLL = encode(OadrPoll(ven_id="ven")).decode()
_BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(10))


class Unreadables(SynchronousTestCase):
    """Each is refused at once, by a short text of one line."""

    def test_they_are_of_the_one_family_of_errors(self) -> None:
        self.assertRaises(VtnError, decode, b"garbage")

    def _refused(self, data: bytes) -> str:
        text = str(self.assertRaises(Unreadable, decode, data))
        self.assertLess(effort(self.assertRaises, Unreadable, decode, data), MOMENT)
        self.assertLess(len(text), 250)
        self.assertTrue(text.isprintable(), text)
        return text

    def test_no_xml(self) -> None:
        for data in (
            b"",
            b" ",
            b"hello",
            b"\x00\xff" * 9,
            b'{"json": 1}',
            b"<a>",
            b"<a></b>",
            b"<a/><b/>",
            b"<a>&nbsp;</a>",
        ):
            self._refused(data)

    def test_cut_off_at_any_byte(self) -> None:
        for end in range(0, len(POLL), 7):
            self._refused(POLL[:end].encode())

    def test_bad_utf8_and_control_characters(self) -> None:
        for inside in (
            b"\xe9",
            b"\xed\xa0\x80",
            b"\xc0\xaf",
            b"\x00",
            b"\x01",
            b"\x1f",
            b"&#0;",
            b"&#x1f;",
            b"\xef\xbf\xbf",
        ):
            self._refused(POLL.encode().replace(b">ven<", b">" + inside + b"<"))

    def test_any_doctype(self) -> None:
        for doctype in (
            "<!DOCTYPE x>",
            '<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd">',
            '<!DOCTYPE x [<!ENTITY e "v">]>',
        ):
            self.assertIn("document type", self._refused((doctype + POLL).encode()))

    def test_an_entity_bomb(self) -> None:
        self._refused(f"<!DOCTYPE x [{_BOMB}]>{POLL.replace('>ven<', '>&e9;<')}".encode())

    def test_an_external_entity_whose_file_is_not_read(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        secret = Path(folder.name, "file")
        secret.write_text("secret of the house")
        for entity in (
            f'SYSTEM "{secret.as_uri()}"',
            f'SYSTEM "{secret}"',
            'PUBLIC "x" "file:///etc/passwd"',
        ):
            document = f"<!DOCTYPE x [<!ENTITY e {entity}>]>{POLL.replace('>ven<', '>&e;<')}"
            self.assertNotIn("secret", self._refused(document.encode()))

    def test_other_encodings_than_utf8(self) -> None:
        for codec in ("utf-16", "utf-16-le", "utf-16-be", "utf-7", "iso-8859-1", "windows-1252", "utf-32", "cp037"):
            for declaration in (f'<?xml version="1.0" encoding="{codec}"?>', ""):
                if declaration or "-7" not in codec:
                    self._refused((declaration + POLL.replace(">ven<", ">é<")).encode(codec))
        self._refused(b'<?xml version="1.0" encoding="nonsense"?>' + POLL.encode())

    def test_a_compressed_document(self) -> None:
        self._refused(gzip.compress(POLL.encode()))

    def test_elements_without_bottom(self) -> None:
        self._refused(b"<a>" * 100_000)
        self._refused(b"<a>" * 300 + b"</a>" * 300)

    def test_names_and_numbers_without_end(self) -> None:
        self._refused(b"<" + b"a" * 200_000 + b">")
        self._refused(b"<a>&#" + b"9" * 200_000 + b";</a>")


class Readables(SynchronousTestCase):
    """What is UTF-8 in one of its dresses."""

    def test_utf8_with_a_byte_order_mark_a_declaration_or_neither(self) -> None:
        for before in (
            "",
            "\ufeff",
            '<?xml version="1.0"?>',
            '<?xml version="1.0" encoding="utf-8" standalone="yes"?>\n',
        ):
            found = decode((before + POLL.replace(">ven<", ">é\U0001f600<")).encode())
            self.assertEqual(found.message, OadrPoll(ven_id="é\U0001f600"))

    def test_ascii_that_says_so(self) -> None:
        self.assertEqual(decode(b'<?xml version="1.0" encoding="US-ASCII"?>' + POLL.encode()).message.ven_id, "ven")
