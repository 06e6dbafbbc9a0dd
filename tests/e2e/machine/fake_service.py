"""A service in the hands of the test: it may lie about everything that it does not have to sign."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from xor.signing import Envelope, SigningKey, decode, seal_envelope
from xor.wire import http
from xor.wire.messages import Entry, Failure, Inbox, Kind, Offer, Poll, Refusal

TYPES = {Refusal.payload_type: Refusal, Failure.payload_type: Failure, Offer.payload_type: Offer}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Machines are killed here while they are being answered."""


class FakeService:
    """Gives `entries` to whoever polls, and keeps what is posted and uploaded."""

    def __init__(self, key: SigningKey, network: str, port: int = 0) -> None:
        self.key = key
        self.network = network
        self.entries: list[Entry] = []
        self.posted: list[Envelope] = []
        self.uploads: list[tuple[Envelope, bytes]] = []
        self.polls = 0
        self.is_full = False
        self._news = threading.Condition()
        self._server = _Server(("127.0.0.1", port), self._handler())
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, kind: Kind, job: str, envelope: Envelope, position: int | None = None) -> None:
        place = position or max((each.position for each in self.entries), default=0) + 1
        with self._news:
            self.entries.append(
                Entry(position=place, job=job, kind=kind, envelope=envelope.to_bytes().decode())
            )
            self._news.notify_all()

    def said(self, cls: type) -> list:
        """The documents of a class among what was posted; who signed them is for the caller."""
        return [
            decode(cls, each.payload) for each in list(self.posted) if each.payload_type == cls.payload_type
        ]

    def answer(self, poll: Poll) -> Envelope:
        with self._news:
            self.polls += 1
            self._news.wait_for(lambda: any(each.position > poll.after for each in self.entries), 1)
            found = tuple(each for each in self.entries if each.position > poll.after)
        inbox = Inbox(network=poll.network, player=poll.player, nonce=poll.nonce, entries=found)
        return seal_envelope(inbox, self.key)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                envelope = Envelope.from_bytes(self._body())
                if self.path == http.INBOX:
                    answer = service.answer(decode(Poll, envelope.payload))
                    self._send(200, answer.to_bytes())
                    return
                if self.path.endswith("/entries"):
                    service.posted.append(envelope)
                self._send(200, b"{}")

            def do_PUT(self) -> None:
                envelope = http.read_manifest_header(self.headers[http.MANIFEST_HEADER])
                body = self._body()
                if service.is_full or len(body) < int(self.headers["Content-Length"]):
                    self._send(503, b"")
                    return
                service.uploads.append((envelope, body))
                self._send(201, b"{}")

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers["Content-Length"]))

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                pass

        return Handler
