"""An address that stays while the server behind it changes, as a virtual address does."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from typing import Self

from tests.servers import free_port


class Forwarder:
    """Listens on `port` and hands each connection to the server behind it now."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._listening = socket.create_server(("127.0.0.1", free_port()))
        self.port: int = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listening.close()
        self.drop()

    def move(self, target: int) -> None:
        """Have new connections go elsewhere; those that are open stay."""
        self.target = target

    def drop(self) -> None:
        """Cut all connections off."""
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        address = ("127.0.0.1", self.target)
        with client, suppress(OSError), socket.create_connection(address) as server:
            self._open += [client, server]
            _carry(client, server)


def _carry(one: socket.socket, other: socket.socket) -> None:
    """Carry what each says to the other until one of them is done."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while True:
            for key, _ in selector.select():
                said = key.fileobj.recv(65536)  # type: ignore[union-attr]
                if not said:
                    return
                key.data.sendall(said)
