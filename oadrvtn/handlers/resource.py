"""ServiceResource: what the five services have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from ..model.party import EiResponse, OadrResponse
from ..model.schema import Message
from ..vtn import made
from ..vtn.hooks import ASKED, called
from ..vtn.roster import Entry
from ..vtn.vtn import RULES, Vtn
from .chain import Chain
from .exchange import Exchange, TooLate


def refusal(request: Request, status: int, text: str) -> bytes:
    """A short plain answer with this HTTP status; without its text where only the headers were asked for."""
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"text/plain")
    return b"" if request.method == b"HEAD" else f"{text}\n".encode()


class Nowhere(Resource):
    """A path where nothing is, and the way to what is below it."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Nothing that was not put there; a slash too many, as base URLs bring along, leads nowhere else."""
        return Nowhere() if path else self

    def render(self, request: Request) -> Any:
        """404."""
        return refusal(request, 404, "nothing is here")


class ServiceResource(Nowhere):
    """A service of OpenADR as a resource: POST runs the chain, which calls the ``on_*`` method of the message.

    Subclass one of the five and name the class in the configuration (``[handlers]``).  A method gets the
    message and the Exchange, and returns the answering message, a Deferred of it, or is a coroutine; it
    may call ``super()``.  What it raises is answered: a VtnError with its code, all else with 500.
    """

    service: ClassVar[str]
    """The end of the URL."""
    methods: ClassVar[dict[type[Message], str]]
    """Which method takes which message; a message that is not here is refused (459)."""

    def __init__(self, vtn: Vtn, chain: Chain, policy: str) -> None:
        super().__init__()
        self.vtn = vtn
        self.chain = chain
        self.policy = policy

    # --- HTTP -----------------------------------------------------------------------------------------

    def render(self, request: Request) -> Any:
        """POST, and nothing else."""
        if request.method == b"POST":
            return self.render_POST(request)
        request.setHeader(b"allow", b"POST")
        return refusal(request, 405, "only POST is served here")

    def render_POST(self, request: Request) -> int:
        """Start the chain; the answer is written when it is done, unless the peer is gone by then."""
        assert request.content
        self.answer(self.begin(request.channel, request.content.read()), request)
        return NOT_DONE_YET

    def begin(self, channel: Any, body: bytes, entry: Entry | None = None) -> Deferred[Exchange]:
        """Start the chain for what has come on a connection; ``entry`` is whose it is, where ``knows`` has said so."""
        return self.handle(
            Exchange(
                resource=self,
                body=body,
                certificate=channel.certificate,
                peer=channel.address,
                subject=channel.subject,
                certificate_der=channel.certificate_der,
                own_certificate=channel.own_certificate,
                entry=entry,
                taken=(channel.bucket,),
            )
        )

    def answer(self, begun: Deferred[Exchange], request: Request) -> None:
        """Write what the chain answers, once it does, if the peer is still there."""
        finished, gone = request.notifyFinish(), list[object]()
        begun.addCallback(self._write, request, finished, gone)
        finished.addErrback(gone.append)

    def _write(self, exchange: Exchange, request: Request, finished: Deferred[None], gone: list[object]) -> None:
        if gone:
            return
        request.setResponseCode(exchange.status)
        for name, value in exchange.fields:
            request.setHeader(name, value)
        finished.addCallback(lambda _: exchange.written())
        request.write(exchange.answer)
        request.finish()

    def knows(self, certificate: bytes) -> Entry | None:
        """Whose certificate it is, if that is at hand."""
        return self.vtn.roster.find(certificate)

    def again(self, entry: Entry, body: bytes) -> bytes | None:
        """The answer to a message that needs no reading, because it came before; None where it does."""
        return self.chain.again(self, entry, body)

    # --- the chain ------------------------------------------------------------------------------------

    def handle(self, exchange: Exchange) -> Deferred[Exchange]:
        """Run an exchange, from whatever transport it comes."""
        return self.chain.run(exchange)

    def dispatch(self, exchange: Exchange) -> Deferred[Message]:
        """Call the method of the message and complete what it returns."""
        name = self.methods[type(exchange.message)]
        answered = called(getattr(self, name), exchange.message, exchange).addCallback(self.complete, exchange)
        if name in self.vtn.hooks and name not in ASKED:
            answered.addCallback(self._tell, name, exchange.message)
        return answered

    def _tell(self, answer: Message, name: str, payload: Message) -> Message:
        self.vtn.hooks.tell(name, payload)
        return answer

    @property
    def constant(self) -> bool:
        """Whether the VTN alone says what is answered, so that two polls that find nothing get the same."""
        return False

    def ask(self, name: str, exchange: Exchange, *arguments: Any) -> Deferred[Any]:
        """What a function of ``add_handler`` says.  Fails with TooLate where nobody waits for that any more."""
        exchange.handler = name
        return self.vtn.hooks.ask(name, *arguments).addCallback(self.heard, exchange)

    def heard(self, found: Any, exchange: Exchange) -> Any:
        """What a user's function has found, if it comes in time."""
        if exchange.late:
            raise TooLate
        return found

    def make_up(self, name: str, exchange: Exchange) -> Deferred[None]:
        """Ask a function of ``add_handler`` what it has for the VEN, and store that."""
        assert exchange.entry
        return self.ask(name, exchange, exchange.entry.ven.ven_id).addCallback(self.keep, name, exchange)

    def keep(self, found: Any, name: str, exchange: Exchange) -> Any:
        """Store what a handler has for the VEN, once it is seen to be what ``name`` may return."""
        assert exchange.entry
        pieces = made.looked_at(exchange.handler, name, found)
        return self.vtn.supply(exchange.entry, exchange.handler, pieces) if pieces else None

    def is_rule(self, message: Message) -> bool:
        """Whether all that a message does is a rule of the VTN, in one transaction, and nobody's own code."""
        method = self.methods[type(message)]
        maker = next(cls for cls in type(self).__mro__ if method in vars(cls))
        asks = method in ASKED and method in self.vtn.hooks
        return maker.__module__.startswith(f"{__package__}.") and type(message) in RULES and not asks

    def complete(self, value: Any, exchange: Exchange) -> Any:
        """Make the answering message of what a method returned."""
        if isinstance(value, Message):
            return value
        method = self.methods[type(exchange.message)]
        raise TypeError(f"{type(self).__name__}.{method} returned {value!r}, which is no message")

    def apply(self, payload: Any, exchange: Exchange) -> Deferred[Any]:
        """The default of most methods: the VTN's rule for the message."""
        return self.vtn.handle(exchange.entry, payload, once=exchange.once)

    def on_response(self, payload: OadrResponse, exchange: Exchange) -> Any:
        """A VEN acknowledges something; it gets an oadrResponse too, since some VENs wait for one."""
        return OadrResponse(response=EiResponse.ok(payload.response.request_id), ven_id=exchange.ven_id)
