"""A client that costs little: prepared bytes over a few sockets, one process, no library.

Run as ``python -I benchmarks/serving_client.py PORT CONNECTIONS SECONDS BODIES``; BODIES is a
file of one JSON body a line. Each connection sends its next request when it has its answer. It
prints quantiles of the latencies in ms, the rate, and the processor time that it took itself.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from pathlib import Path

WARM_UP = 0.2


def main(port: int, connections: int, seconds: float, bodies: list[bytes]) -> None:
    requests = [
        b"POST /invocations HTTP/1.1\r\nHost: b\r\nContent-Type: application/json\r\n"
        b"X-Promotion-Unit: u%d\r\nContent-Length: %d\r\n\r\n" % (n, len(body)) + body
        for n, body in enumerate(bodies)
    ]
    selector = selectors.DefaultSelector()
    sent: dict[socket.socket, tuple[float, bytearray]] = {}
    number = failed = 0
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        sent[connection] = (time.perf_counter(), bytearray())
        connection.sendall(requests[number % len(requests)])
        number += 1
    latencies: list[tuple[float, float]] = []
    begun, used = time.perf_counter(), time.process_time()
    end = begun + seconds
    while sent:
        for key, _ in selector.select(5):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            at, held = sent[connection]
            held += connection.recv(65536)
            if not whole(held):
                continue
            now = time.perf_counter()
            latencies.append((at, now - at))
            failed += not held.startswith(b"HTTP/1.1 200")
            if now >= end:
                selector.unregister(connection)
                connection.close()
                del sent[connection]
                continue
            sent[connection] = (time.perf_counter(), bytearray())
            connection.sendall(requests[number % len(requests)])
            number += 1
    took = time.perf_counter() - begun
    kept = sorted(ms for at, ms in latencies if at > begun + WARM_UP * seconds)
    print(
        json.dumps(
            {
                "answered": len(latencies),
                "failed": failed,
                "rate": len(latencies) / took,
                "client_cpu": (time.process_time() - used) / took,
                **{
                    f"p{q}": kept[min(len(kept) - 1, len(kept) * q // 100)] * 1e3
                    for q in (50, 95, 99)
                },
            }
        )
    )


def whole(response: bytearray) -> bool:
    head = response.find(b"\r\n\r\n")
    if head < 0:
        return False
    lowered = bytes(response[:head]).lower()
    place = lowered.find(b"content-length:")
    length = int(lowered[place + 15 :].split(b"\r\n", 1)[0])
    return len(response) >= head + 4 + length


if __name__ == "__main__":
    port, connections, seconds, path = sys.argv[1:]
    main(int(port), int(connections), float(seconds), Path(path).read_bytes().splitlines())
