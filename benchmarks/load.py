"""A closed-loop load over kept connections, and a fast upstream to answer it, both on one thread of raw sockets."""

import contextlib
import multiprocessing
import os
import selectors
import socket
import statistics
import time

COMPLETION = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"' + b"a short answer " * 20 + b'"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":100,"completion_tokens":60,"total_tokens":160}}'
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(COMPLETION) + COMPLETION
)


def complete(data: bytes) -> int:
    """The length of the first whole HTTP message in `data`, 0 when there is none yet."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0
    at = data[:head].lower().find(b"content-length:")
    length = int(data[at + 15 : head].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return head + 4 + length if len(data) >= head + 4 + length else 0


def upstream(cpu: int, ready: "multiprocessing.Queue[int]") -> None:
    os.sched_setaffinity(0, {cpu})
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    ready.put(listener.getsockname()[1])
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    pending: dict[socket.socket, bytes] = {}
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection, selectors.EVENT_READ)
                pending[connection] = b""
                continue
            connection = key.fileobj
            data = b""
            with contextlib.suppress(OSError):
                data = connection.recv(65536)
            if not data:
                selector.unregister(connection)
                connection.close()
                pending.pop(connection, None)
                continue
            pending[connection] += data
            if size := complete(pending[connection]):
                pending[connection] = pending[connection][size:]
                connection.sendall(ANSWER)


@contextlib.contextmanager
def fast_upstream(cpu: int):
    """Yields the port of an upstream that answers every request with the same completion."""
    ready: multiprocessing.Queue[int] = multiprocessing.Queue()
    process = multiprocessing.Process(target=upstream, args=(cpu, ready), daemon=True)
    process.start()
    try:
        yield ready.get(timeout=10)
    finally:
        process.kill()
        process.join()


def post(path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: relay", f"Content-Length: {len(body)}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def drive(port: int, request: bytes, connections: int, seconds: float) -> tuple[float, float, float]:
    """(requests/s, p50 ms, p99 ms) of callers who each send the next request when they have the answer.

    Raises RuntimeError for an answer that is not 200.
    """
    selector = selectors.DefaultSelector()
    sent: dict[socket.socket, float] = {}
    data: dict[socket.socket, bytes] = {}
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        data[connection] = b""
        sent[connection] = time.perf_counter()
        connection.sendall(request)
    times: list[float] = []
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        for key, _ in selector.select(timeout=5):
            connection = key.fileobj
            data[connection] += connection.recv(65536)
            if not (size := complete(data[connection])):
                continue
            if not data[connection].startswith(b"HTTP/1.1 200"):
                raise RuntimeError(data[connection][:600].decode(errors="replace"))
            data[connection] = data[connection][size:]
            now = time.perf_counter()
            times.append(now - sent[connection])
            sent[connection] = now
            connection.sendall(request)
    elapsed = time.perf_counter() - start
    for connection in sent:
        connection.close()
    times.sort()
    return len(times) / elapsed, statistics.median(times) * 1000, times[int(len(times) * 0.99)] * 1000
