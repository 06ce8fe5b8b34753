"""What an engine can do with a whole home: find it, make it, drop it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from domicile.conf import PlacementTemplate
from domicile.exceptions import InvalidName


class HomeStore(ABC):
    """Homes of one layout, as `template` says, reached through one wrapper (`connection`)."""

    #: What the engine calls such a home, for messages.
    noun = "home"
    #: The longest name in bytes; longer ones would be truncated or refused by the server.
    max_name_bytes = 63

    def __init__(self, connection: Any, template: PlacementTemplate) -> None:
        self.connection = connection
        self.template = template

    def validate(self, name: str) -> None:
        """Raise `InvalidName` where the engine would not take `name`, or not as it is."""
        if "\0" in name or not name:
            raise InvalidName(f"{name!r} cannot name a {self.noun}: it is empty or contains NUL.")
        if len(name.encode()) > self.max_name_bytes:
            raise InvalidName(
                f"{name!r} cannot name a {self.noun}: it has {len(name.encode())} bytes and"
                f" {self.connection.display_name} takes {self.max_name_bytes} at most."
            )

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Tell whether there is a home of that name."""

    @abstractmethod
    def create(self, name: str) -> None:
        """Make an empty home; `HomeExists` where there is one of that name."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Drop the home and all in it; nothing happens where there is none."""
