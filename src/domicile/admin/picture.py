"""The picture of the map: a card for each database, and a line for each relation between two.

Where each thing stands is worked out here, in units of the drawing, which are pixels at its natural
size; templates/admin/domicile/picture.html draws it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from domicile.map import Crossing, Database, House, Map
from domicile.placement import EACH_TENANT

#: Heights of a card's head, of each line in it, and of the space below the last.
_HEAD, _LINE, _FOOT = 54, 22, 10
_GAP = 24
#: How far the paper stands out behind the card that stands for many homes.
_PAPER = 6
_MARGIN = 2
#: Lines for apps in one card; what is more is told by a number.
_MOST_APPS = 8
#: Between two lines that run side by side.
_LANE = 9


@dataclass(frozen=True)
class Shape:
    """How wide things are."""

    columns: int
    card: int
    #: Where lines run: between columns, or beside the only one.
    gutter: int

    @property
    def width(self) -> int:
        gutters = max(1, self.columns - 1)
        return self.columns * self.card + gutters * self.gutter + 2 * _MARGIN + _PAPER


WIDE = Shape(columns=2, card=360, gutter=140)
NARROW = Shape(columns=1, card=296, gutter=56)


@dataclass(frozen=True)
class Line:
    """One line of a card: a note, an app or a replica, and what is told of it."""

    kind: str
    name: str
    detail: str
    y: int

    @property
    def middle(self) -> int:
        return self.y - 4


@dataclass(frozen=True)
class Card:
    """A database."""

    database: Database
    column: int
    x: int
    y: int
    width: int
    height: int
    lines: tuple[Line, ...]

    @property
    def is_many(self) -> bool:
        """Whether it stands for the homes of all tenants."""
        return self.database.alias.startswith(EACH_TENANT)

    @property
    def right(self) -> int:
        return self.x + self.width

    @property
    def title(self) -> str:
        return clipped(self.database.alias, self.width // 11)

    @property
    def subtitle(self) -> str:
        told = (self.database.engine, self.database.address)
        return clipped(" · ".join(each for each in told if each), self.width // 8)

    @property
    def told(self) -> str:
        """All that is known of it."""
        database = self.database
        told = (database.alias, database.engine, database.address, *database.notes)
        return ", ".join(each for each in told if each)

    def middle_of(self, app: str) -> int:
        """Return how far down the line of an app is; of one that is not shown, the last of them."""
        apps = [line for line in self.lines if line.kind in ("app", "more")]
        found = next((line for line in apps if line.name == app), None)
        line = found or (apps[-1] if apps else None)
        return self.y + _HEAD // 2 if line is None else line.middle


@dataclass(frozen=True)
class Link:
    """The relations from one app in one database to one in another."""

    path: str
    fields: tuple[str, ...]
    is_declared: bool


@dataclass(frozen=True)
class Picture:
    width: int
    height: int
    cards: tuple[Card, ...]
    links: tuple[Link, ...]


def draw(drawn: Map, shape: Shape) -> Picture:
    """Return the picture of a map in that shape."""
    cards = tuple(_cards(drawn, shape))
    height = max((card.y + card.height for card in cards), default=0) + _PAPER + _MARGIN
    return Picture(shape.width, height, cards, tuple(_links(drawn.crossings, cards, shape)))


def clipped(text: str, length: int) -> str:
    """Return a text that is no longer than that."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _cards(drawn: Map, shape: Shape) -> Iterator[Card]:
    """Yield the cards, each below those of the column that is shortest so far."""
    ends = [_MARGIN] * shape.columns
    for database in drawn.databases:
        if database.replica_of:
            continue
        column = ends.index(min(ends))
        x, y = _MARGIN + column * (shape.card + shape.gutter), ends[column]
        lines = tuple(_lines(drawn, database, y + _HEAD + _LINE - 8, shape.card))
        height = _HEAD + len(lines) * _LINE + _FOOT
        yield Card(database, column, x, y, shape.card, height, lines)
        ends[column] += height + _GAP


def _lines(drawn: Map, database: Database, y: int, width: int) -> Iterator[Line]:
    told = [("note", note, "") for note in database.notes]
    told += _told_of_apps(drawn.by_alias.get(database.alias, ()))
    told += [("replica", each.alias, "replica") for each in drawn.replicas_of(database.alias)]
    for kind, name, detail in told:
        yield Line(kind, clipped(name, width // 8 - len(detail) - 3), detail, y)
        y += _LINE


def _told_of_apps(houses: Iterable[House]) -> list[tuple[str, str, str]]:
    notes = defaultdict(list)
    for house in houses:
        notes[house.app].append(house.note)
    told = [("app", app, ", ".join([_models(len(of)), *_unlike(of)])) for app, of in notes.items()]
    if len(told) <= _MOST_APPS:
        return told
    hidden = [len(of) for of in notes.values()][_MOST_APPS - 1 :]
    return [*told[: _MOST_APPS - 1], ("more", f"{len(hidden)} more apps", _models(sum(hidden)))]


def _unlike(notes: Iterable[str]) -> list[str]:
    return [note for note in dict.fromkeys(notes) if note]


def _models(count: int) -> str:
    return f"{count} model{'' if count == 1 else 's'}"


def _links(crossings: Iterable[Crossing], cards: Iterable[Card], shape: Shape) -> Iterator[Link]:
    places = {card.database.alias: card for card in cards}
    groups: dict[tuple[str, str, str, str, bool], list[str]] = defaultdict(list)
    for each in crossings:
        if each.alias in places and each.to_alias in places:
            apps = (each.model.partition(".")[0], each.to_model.partition(".")[0])
            groups[(each.alias, apps[0], each.to_alias, apps[1], each.is_declared)].append(
                f"{each.field} → {each.to_model}"
            )
    for lane, ((alias, app, to_alias, to_app, declared), fields) in enumerate(groups.items()):
        start, end = places[alias], places[to_alias]
        path = _path(start, start.middle_of(app), end, end.middle_of(to_app), lane, shape)
        yield Link(path, tuple(fields), declared)


def _path(start: Card, y: int, end: Card, to_y: int, lane: int, shape: Shape) -> str:
    """Return the way from one card to another through the gutter beside or between them."""
    if start.column == end.column:
        bend = min(shape.gutter - 8, 30 + lane * _LANE)
        x = start.right if start.column == 0 else start.x
        away = x + bend if start.column == 0 else x - bend
        return f"M{x} {y}C{away} {y} {away} {to_y} {x} {to_y}"
    x, to_x = (start.right, end.x) if start.column < end.column else (start.x, end.right)
    middle = (x + to_x) // 2
    return f"M{x} {y}C{middle} {y} {middle} {to_y} {to_x} {to_y}"
