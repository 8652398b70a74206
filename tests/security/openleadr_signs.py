"""openleadr's signatures, as a program that runs in openleadr's own environment.

    python openleadr_signs.py '{"sign": [[certificate, key], ...], "verify": [document, ...]}'

Writes as JSON a signed oadrPoll for each pair of PEM texts, and for each document the fingerprint of the
certificate by which openleadr found it good (null where it did not).
"""

from __future__ import annotations

import json
import sys

from openleadr import messaging, utils  # type: ignore[import-not-found]


def verified(document: str) -> str | None:
    """The fingerprint, after the schema and the signature."""
    tree = messaging.validate_xml_schema(document)
    try:
        messaging.validate_xml_signature(tree)
    except Exception as error:
        print(repr(error), file=sys.stderr)
        return None
    return str(utils.certificate_fingerprint(utils.extract_pem_cert(tree)))


if __name__ == "__main__":
    work = json.loads(sys.argv[1])
    polls = [
        messaging.create_message("oadrPoll", cert=certificate, key=key.encode(), ven_id="ven1")
        for certificate, key in work["sign"]
    ]
    print(json.dumps({"signed": polls, "verified": [verified(document) for document in work["verify"]]}))
