"""A DNS server with the records that a test gives it.

with answering({"users.test. A": ["127.0.0.1"]}) as names:
    socket.getaddrinfo("users.test", 5432)
    names.records = {}
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from dns import flags, message, name, rcode, rdatatype, resolver, rrset

#: Name and type → its records, as in a zone file.
Records = Mapping[str, Sequence[str]]


class NameServer:
    """Answers over UDP on a free port. Of a name that has no records it says that there is none."""

    def __init__(self, records: Records) -> None:
        self.records = records
        #: What it says to whatever it is asked, in place of an answer.
        self.fault: rcode.Rcode | None = None
        self.is_silent = False
        #: How often it was asked.
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"", ("127.0.0.1", self.port))  # The end.
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            asked, sender = self._socket.recvfrom(4096)
            if not asked:
                return
            self.asked += 1
            if not self.is_silent:
                self._socket.sendto(self._answer(message.from_wire(asked)).to_wire(), sender)

    def _answer(self, asked: message.Message) -> message.Message:
        response = message.make_response(asked)
        response.flags |= flags.RA
        (question,) = asked.question
        records, known = self.records, str(question.name)
        kind = rdatatype.to_text(question.rdtype)
        if self.fault is not None:
            response.set_rcode(self.fault)
        elif not any(key.startswith(f"{known} ") for key in records):
            response.set_rcode(rcode.NXDOMAIN)
        elif found := records.get(f"{known} {kind}"):
            response.answer.append(rrset.from_text_list(question.name, 60, "IN", kind, found))
        return response


@contextmanager
def answering(records: Records, domain: str = "") -> Iterator[NameServer]:
    """Have this process ask a server of its own, for addresses too.

    :param domain: what is appended to names that are not known without it.
    """
    with NameServer(records) as server:
        own = resolver.Resolver(configure=False)
        own.nameservers, own.port = ["127.0.0.1"], server.port
        own.timeout, own.lifetime = 0.5, 0.5
        own.search = [name.from_text(domain)] if domain else []
        before, resolver.default_resolver = resolver.default_resolver, own
        resolver.override_system_resolver(own)
        try:
            yield server
        finally:
            resolver.restore_system_resolver()
            resolver.default_resolver = before
