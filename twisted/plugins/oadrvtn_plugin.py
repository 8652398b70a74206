"""Makes ``twistd oadrvtn`` known.  twistd imports this file at every start, so it imports nothing of ours."""

from twisted.application.service import ServiceMaker

oadrvtn = ServiceMaker(
    "OpenADR VTN",
    "oadrvtn.plugin",
    "OpenADR 2.0b VTN: serves VENs over HTTPS with client certificates.",
    "oadrvtn",
)
