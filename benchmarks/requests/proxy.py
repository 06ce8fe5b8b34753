"""A loopback proxy at the server's door that counts what PostgreSQL did, from its own answers."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

HEADER = 5  # a type byte and a four-byte length that counts itself


@dataclass
class Counts:
    statements: int = 0  # CommandComplete messages: one for each statement executed
    round_trips: int = 0  # bytes from the client after an answer of the server


class Answers:
    """Cuts the server's stream into messages and counts the completed statements."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.rest = b""

    def feed(self, data: bytes) -> None:
        self.rest += data
        while len(self.rest) >= HEADER:
            end = 1 + int.from_bytes(self.rest[1:HEADER], "big")
            if len(self.rest) < end:
                return
            self.counts.statements += self.rest[:1] == b"C"
            self.rest = self.rest[end:]


class CountingProxy:
    """Runs in a thread of its own between `with` and its end; connect to 127.0.0.1:`port`."""

    def __init__(self, host: str, port: int) -> None:
        self.target = host, port
        self.counts = Counts()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> "CountingProxy":
        self.thread.start()
        listening = asyncio.start_server(self.connected, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(listening, self.loop).result()
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def end(self) -> None:
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def take(self) -> Counts:
        """What was counted since the last call."""
        taken = Counts(self.counts.statements, self.counts.round_trips)
        self.counts.statements = self.counts.round_trips = 0
        return taken

    async def connected(
        self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter
    ) -> None:
        server_in, server_out = await asyncio.open_connection(*self.target)
        answers = Answers(self.counts)
        answered = True

        def from_client(data: bytes) -> None:
            nonlocal answered
            self.counts.round_trips += answered
            answered = False

        def from_server(data: bytes) -> None:
            nonlocal answered
            answers.feed(data)
            answered = True

        await asyncio.gather(
            forward(client_in, server_out, from_client),
            forward(server_in, client_out, from_server),
        )


async def forward(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, seen: Callable[[bytes], None]
) -> None:
    try:
        while data := await source.read(65536):
            seen(data)
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    target.close()
