"""The web server of the demo: waitress, on the loopback address only."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from waitress.server import BaseWSGIServer, create_server

from .wsgi import application

ADDRESS = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """A socket of that port, or of a free one for 0."""
    return socket.create_server((ADDRESS, port))


def server(listener: socket.socket) -> BaseWSGIServer:
    return create_server(application, sockets=[listener], threads=8)


@contextmanager
def served(listener: socket.socket) -> Iterator[int]:
    """The port on which the demo is served inside this block, by other threads."""
    running = server(listener)
    thread = Thread(target=running.run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        running.trigger.pull_trigger(running.close)  # in the thread that waits on its sockets
        thread.join(timeout=5)
        running.task_dispatcher.shutdown()
