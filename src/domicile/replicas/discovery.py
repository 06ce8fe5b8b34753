"""Replicas found by DNS while the process runs.

    Replicas("users", discovery=Dns("users-replicas.internal", port=5432))

Each address is a run-time alias, `replica:users@10.0.0.7:5432`.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from domicile.backends.census import census

if TYPE_CHECKING:
    from domicile.replicas.sets import ReplicaSet

logger = logging.getLogger("domicile.replicas")

PREFIX = "replica:"


@dataclass(frozen=True)
class Address:
    """Where a server is."""

    host: str
    port: int | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Dns:
    """Replicas are what a name stands for: its addresses, or the targets of those of its SRV
    records that come first by their priority.
    """

    name: str
    port: int | None = None
    #: The alias of `DATABASES` whose settings they have; empty: the primary's.
    like: str = ""
    srv: bool = False
    #: Seconds between two look-ups.
    every: float = 30.0
    #: Seconds for which one that left is kept for those who read from it.
    drain_seconds: float = 60.0
    #: Answers the name in place of the system's resolver.
    resolve: Callable[[str], Iterable[Address]] | None = None

    def addresses(self) -> list[Address]:
        """Look the name up; `OSError` where that cannot be."""
        if self.resolve is not None:
            return list(self.resolve(self.name))
        return _services(self.name) if self.srv else _hosts(self.name, self.port)


def _hosts(name: str, port: int | None) -> list[Address]:
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [Address(host, port) for host in sorted({str(entry[4][0]) for entry in found})]


def _services(name: str) -> list[Address]:
    try:
        from dns import exception, resolver
    except ImportError:
        raise OSError(
            "SRV records need the package dnspython: install django-domicile[dns], or give"
            " `resolve=` a function that returns addresses."
        ) from None
    try:
        # With the domains that the system would append: so does the look-up of an address.
        found = resolver.resolve(name, "SRV", search=True)
    except exception.DNSException as error:
        raise OSError(f"{name}: {error}") from error
    # A target "." says that there is no such service.
    records = [record for record in found if str(record.target) != "."]
    first = min((record.priority for record in records), default=0)
    # Weight 0 is "hardly any" in a record.
    return [
        Address(str(record.target).rstrip("."), record.port, float(record.weight or 0.1))
        for record in records
        if record.priority == first
    ]


class Finder:
    """Keeps one set's members as the name has them."""

    def __init__(self, replicas: ReplicaSet, discovery: Dns) -> None:
        self.replicas = replicas
        self.discovery = discovery
        #: Of those that left: until when they are kept.
        self._until: dict[str, float] = {}

    def look(self) -> None:
        """Look the name up once. What cannot be looked up, and an empty answer, change nothing."""
        try:
            found = self.discovery.addresses()
        except Exception as error:  # Whatever it is, it must not end the thread.
            logger.warning("Cannot look up %r: %s", self.discovery.name, error)
            return
        if not found:
            logger.warning("%r stands for nothing now: the replicas stay.", self.discovery.name)
            return
        self._take({self._alias(address): address for address in found})

    def _take(self, found: Mapping[str, Address]) -> None:
        for alias, address in found.items():
            _settings.setdefault(alias, self._settings_at(address))
        self.replicas.host({alias: address.weight for alias, address in found.items()})
        self.replicas.monitor.watch(*found)
        now = monotonic()
        for member in self.replicas.members:
            if not member.draining:
                self._until.pop(member.alias, None)
            elif now >= self._until.setdefault(member.alias, now + self.discovery.drain_seconds):
                self._drop(member.alias)

    def _drop(self, alias: str) -> None:
        del self._until[alias]
        self.replicas.forget(alias)
        self.replicas.monitor.forget(alias)
        _settings.pop(alias, None)
        census.expire(alias)

    def _alias(self, address: Address) -> str:
        port = "" if address.port is None else f":{address.port}"
        return f"{PREFIX}{self.replicas.primary}@{address.host}{port}"

    def _settings_at(self, address: Address) -> dict[str, Any]:
        from django.db import connections

        like = connections.settings[self.discovery.like or self.replicas.primary]
        port = like["PORT"] if address.port is None else address.port
        return {**like, "OPTIONS": dict(like["OPTIONS"]), "HOST": address.host, "PORT": port}


#: Of what was found: alias → its entry, as in `DATABASES`.
_settings: dict[str, dict[str, Any]] = {}


def settings_of(alias: str) -> dict[str, Any]:
    """Return the settings of a replica that was found, and has not left."""
    try:
        return _settings[alias]
    except KeyError:
        from django.utils.connection import ConnectionDoesNotExist

        raise ConnectionDoesNotExist(
            f"There is no replica {alias!r}, or it has left. Its primary has the same rows."
        ) from None
