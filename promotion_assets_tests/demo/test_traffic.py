"""The demo's traffic, against a server that hangs up on whoever says nothing."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from promotion_assets.demo.data import live_customers, read_customers
from promotion_assets.demo.traffic import DemoClock, Traffic

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Impatient(BaseHTTPRequestHandler):
    """Answers everything, and hangs up after a moment of silence."""

    protocol_version = "HTTP/1.1"
    timeout = 0.2
    hung_up = threading.Event()

    def do_GET(self) -> None:
        """Nothing waits for a shadow here."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Take what is sent."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def finish(self) -> None:
        """Say that the line is closed."""
        super().finish()
        self.hung_up.set()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_server_that_hung_up_during_a_report_is_called_again() -> None:
    """A report between two parts may take longer than a server keeps a silent line open."""
    customers = live_customers(read_customers()).head(6)
    traffic = Traffic(customers, DemoClock(NOON), timedelta(hours=1))
    with ThreadingHTTPServer(("127.0.0.1", 0), Impatient) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            parts = traffic.play(server.server_port, 2)
            next(parts)
            assert Impatient.hung_up.wait(30)
            for _ in parts:
                pass
        finally:
            server.shutdown()
            serving.join()
    assert traffic.answered == len(customers)
