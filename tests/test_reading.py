"""Units of work, levels, and what counts as a write: nothing here asks a server."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.core.signals import request_started
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.query import RawQuery
from django.test import override_settings

import domicile
from domicile.backends.replication import Identity, Position, State
from domicile.replicas import positions
from domicile.replicas.checks import check_reading
from domicile.replicas.members import Member
from domicile.replicas.positions import Mark, dumps, loads, note
from domicile.replicas.reading import Level, Reading, admits, current_reading
from domicile.rules import Replicas
from tests.databases import databases
from tests.tenants import domicile_settings

SETTINGS = {"ENGINE": "domicile.backends.postgresql", "NAME": "nowhere", "PORT": 1}
MIDDLEWARE = "domicile.replicas.middleware.ReadYourWritesMiddleware"


@pytest.fixture
def replicated() -> Iterator[None]:
    """Databases that are declared, and never asked."""
    names = ("users", "users_replica")
    with databases(dict.fromkeys(names, SETTINGS), [Replicas("users", ["users_replica"])]):
        yield


def in_new_context(func: Any) -> Any:
    """What `func` returns in a thread of its own."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(func()))
    thread.start()
    thread.join()
    return results[0]


def at(text: str, timeline: int = 1, cluster: str = "7") -> Position:
    return Position(cluster, timeline, text)


def member(position: Position | None = None, lag: float | None = 0.0, **state: Any) -> Member:
    identity = Identity("7", 1, True)
    told = State(alive=True, identity=identity, position=position, lag_seconds=lag, **state)
    return Member("users_replica", "users", state=told, measured_at=time.monotonic())


def test_a_unit_of_work_begins_with_nothing() -> None:
    with domicile.unit_of_work() as reading:
        reading.wrote.add("users")
        reading.chosen["users"] = "users_replica"
        assert current_reading() is reading
    with domicile.unit_of_work() as reading:
        assert not reading.wrote
        assert not reading.chosen


def test_a_unit_of_work_within_another_shares_what_was_written() -> None:
    """As Celery's tasks do that are done at once."""
    with domicile.unit_of_work() as outer:
        domicile.note_write("users")
        with domicile.unit_of_work() as inner:
            assert inner.wrote == {"users"}
            domicile.note_write("blog")
        assert outer.wrote == {"users", "blog"}


def test_what_nobody_began_ends_with_the_next_request() -> None:
    """A server's thread has the context of the request before."""

    def work() -> set[str]:
        domicile.note_write("users")
        assert current_reading().wrote == {"users"}
        request_started.send(None)
        return current_reading().wrote

    assert in_new_context(work) == set()


def test_threads_have_units_of_their_own() -> None:
    with domicile.unit_of_work():
        domicile.note_write("users")
        assert in_new_context(lambda: set(current_reading().wrote)) == set()


@pytest.mark.parametrize(
    ("level", "wrote", "wants_primary"),
    [
        ("strong", False, True),
        ("read_your_writes", False, False),
        ("read_your_writes", True, True),
        ("eventual", True, False),
    ],
)
def test_levels_and_the_primary(level: str, wrote: bool, wants_primary: bool) -> None:
    with domicile.unit_of_work():
        if wrote:
            domicile.note_write("users")
        with domicile.consistency(level) as reading:
            assert reading.wants_primary("users") is wants_primary
            assert not reading.wants_primary("blog") or level == "strong"


def test_levels_nest() -> None:
    with domicile.unit_of_work(), domicile.primary():
        assert current_reading().level is Level.STRONG
        with domicile.use_replica():
            assert current_reading().level is Level.EVENTUAL
        assert current_reading().level is Level.STRONG


def test_a_level_ends_with_an_error() -> None:
    with pytest.raises(ZeroDivisionError), domicile.primary():
        raise ZeroDivisionError
    assert current_reading().level is Level.READ_YOUR_WRITES


def level_now() -> Level:
    return current_reading().level


def test_levels_as_decorators() -> None:
    @domicile.primary
    def countdown(number: int) -> list[Level]:
        return [level_now(), *(countdown(number - 1) if number else [])]

    @domicile.use_replica
    async def later() -> Level:
        await asyncio.sleep(0)
        return level_now()

    @domicile.consistency("bounded", milliseconds=500)
    def steps() -> Iterator[Level]:
        yield level_now()
        yield level_now()

    async def both() -> Any:
        return await asyncio.gather(later(), asyncio.to_thread(level_now))

    assert countdown(2) == [Level.STRONG] * 3
    assert asyncio.run(both()) == [Level.EVENTUAL, Level.READ_YOUR_WRITES]
    walk = steps()
    assert (next(walk), level_now()) == (Level.BOUNDED, Level.READ_YOUR_WRITES)
    assert list(walk) == [Level.BOUNDED]


@pytest.mark.parametrize(
    ("level", "options", "told"),
    [
        ("linear", {}, "no level 'linear'"),
        ("bounded", {}, "milliseconds"),
        ("strong", {"milliseconds": 5}, "milliseconds"),
    ],
)
def test_a_level_that_means_nothing(level: str, options: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        domicile.consistency(level, **options)


def test_bounded_reads_are_as_old_as_was_said() -> None:
    reading = Reading(Level.BOUNDED, 500)
    assert admits(reading, member(lag=0.2))
    assert not admits(reading, member(lag=0.7))
    assert not admits(reading, member(lag=None))


def test_a_replica_that_shows_less_than_it_did_is_left_out() -> None:
    """As one that was killed: readers who have seen more have dropped their positions."""
    primary = Identity("7", 1, False)
    rule = Replicas("users", ["users_replica"])

    def seen(known: Member, place: str) -> Member:
        return known.asked(member(at(place)).state, 1.0).judged(primary, rule)

    back = seen(seen(Member("users_replica", "users"), "0/9"), "0/5")
    assert (back.usable, back.trouble) == (False, "it replays again what it had shown already")
    assert not seen(back, "0/9").trouble


def test_news_of_a_replica_grow_old() -> None:
    old = Member("a", "users", state=member().state, measured_at=time.monotonic() - 0.6)
    assert not admits(Reading(Level.BOUNDED, 500), old)
    assert admits(Reading(Level.BOUNDED, 5000), old)


def test_a_window_where_no_position_is_known() -> None:
    reading = Reading(Level.READ_YOUR_WRITES)
    reading.positions["users"] = Mark(None, time.time() - 9)
    assert not admits(reading, member())
    reading.positions["users"] = Mark(None, time.time() - 11)
    assert admits(reading, member())


def test_a_position_from_before_a_fail_over_counts_for_the_window() -> None:
    """It says nothing of the new primary's log, but that something was just written."""
    reading = Reading(Level.READ_YOUR_WRITES)
    with databases({"users_replica": SETTINGS}):
        reading.positions["users"] = Mark(at("0/9", cluster="6"), time.time() - 9)
        assert not admits(reading, member(at("0/99")))
        reading.positions["users"] = Mark(at("0/9", cluster="6"), time.time() - 11)
        assert admits(reading, member(at("0/99")))


@pytest.mark.usefixtures("replicated")
class TestTravelling:
    def test_there_and_back(self) -> None:
        now = time.time()
        carried = {"users": Mark(at("0/3000148"), now)}
        loaded = loads(dumps(carried))
        assert loaded["users"].position == at("0/3000148")
        assert loaded["users"].at == pytest.approx(now, abs=0.001)

    def test_nothing_is_nothing(self) -> None:
        assert dumps({}) == ""
        assert loads("") == {}

    def test_forged(self) -> None:
        text = dumps({"users": Mark(at("0/3000148"), time.time())})
        for forged in (text[:-1], f"x{text}", text.replace(":", "", 1), "a:b:c", "{}", "\0"):
            assert loads(forged) == {}
        with override_settings(SECRET_KEY="another"):
            assert loads(text) == {}

    @pytest.mark.parametrize("plain", [[], {"users": 1}, {"users": [1]}, {"users": [1, "x"]}])
    def test_signed_by_another_version(self, plain: Any) -> None:
        assert loads(positions.signing.dumps(plain, salt=positions._SALT)) == {}

    def test_stale(self) -> None:
        now = time.time()
        assert loads(dumps({"users": Mark(at("0/3"), now - 299)}))
        assert not loads(dumps({"users": Mark(at("0/3"), now - 301)}))
        assert not loads(dumps({"users": Mark(None, now - 11)}))

    def test_of_a_clock_that_is_ahead(self) -> None:
        """It must not count for longer than one that was written now."""
        loaded = loads(dumps({"users": Mark(None, time.time() + 3600)}))
        assert loaded["users"].at <= time.time()

    def test_of_a_database_that_has_no_replicas_any_more(self) -> None:
        assert loads(dumps({"blog": Mark(at("0/3"), time.time())})) == {}

    def test_are_taken_up_by_the_unit_of_work(self) -> None:
        text = dumps({"users": Mark(at("0/3"), time.time())})
        with domicile.unit_of_work() as reading:
            reading.chosen["users"] = "users_replica"
            domicile.carry_positions(text)
            assert reading.positions["users"].position == at("0/3")
            assert not reading.chosen, "who was chosen may not have it"
        with domicile.unit_of_work() as reading:
            assert not reading.positions


def test_positions_merge_to_the_maximum() -> None:
    known: dict[str, Mark] = {}
    for place in (Mark(at("0/5"), 5.0), Mark(at("0/9"), 4.0), Mark(at("0/3"), 6.0)):
        note(known, "users", place)
    assert known == {"users": Mark(at("0/9"), 6.0)}
    note(known, "users", Mark(None, 7.0))
    assert known == {"users": Mark(None, 7.0)}
    note(known, "users", Mark(at("0/12"), 8.0))
    assert known == {"users": Mark(at("0/12"), 8.0)}


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (SQLCompiler, "execute_sql", ["result_type", "chunked_fetch", "chunk_size"]),
        (RawQuery, "_execute_query", []),
        (BaseDatabaseWrapper, "_prepare_cursor", ["cursor"]),
    ],
)
def test_django_still_has_these_signatures(owner: type, name: str, parameters: list[str]) -> None:
    """What `patches.reads` and `patches.cursors` change."""
    assert list(inspect.signature(getattr(owner, name)).parameters) == ["self", *parameters]


def check(**changes: Any) -> list[CheckMessage]:
    with override_settings(DOMICILE=domicile_settings(**changes)):
        return check_reading(None)


def test_e045_a_level_that_is_none() -> None:
    (finding,) = check(CONSISTENCY="linear")
    assert finding.id == "domicile.E045"
    assert finding.hint == "Use one of 'strong', 'read_your_writes', 'eventual'."


def test_e046_a_carrier_that_is_none() -> None:
    (finding,) = check(POSITION_CARRIER="pigeon")
    assert finding.id == "domicile.E046"


@pytest.mark.usefixtures("replicated")
def test_w047_replicas_and_no_middleware(settings: Any) -> None:
    (finding,) = check_reading(None)
    assert finding.id == "domicile.W047"
    assert MIDDLEWARE in str(finding.hint)
    settings.MIDDLEWARE = [MIDDLEWARE, *settings.MIDDLEWARE]
    assert not check_reading(None)


SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"


def test_w064_a_middleware_before_ours_that_may_write(settings: Any) -> None:
    settings.MIDDLEWARE = [SESSIONS, MIDDLEWARE, MESSAGES]
    (finding,) = check()
    assert finding.id == "domicile.W064"
    assert finding.msg.startswith(f"{SESSIONS!r} in MIDDLEWARE before {MIDDLEWARE!r}")
    assert finding.hint
    assert not check(POSITION_CARRIER="session")
    settings.MIDDLEWARE = [SESSIONS, MESSAGES, MIDDLEWARE]
    (finding,) = check(POSITION_CARRIER="session")
    assert finding.msg.startswith(f"{MESSAGES!r} in MIDDLEWARE")


def test_middlewares_before_ours_that_write_nothing(settings: Any) -> None:
    security = "django.middleware.security.SecurityMiddleware"
    header = "domicile.integrations.route_header.RouteHeaderMiddleware"
    settings.MIDDLEWARE = [security, header, MIDDLEWARE, SESSIONS]
    assert not check()


def test_w065_a_read_only_site_and_no_middleware(settings: Any) -> None:
    (finding,) = check(READ_ONLY=True)
    assert finding.id == "domicile.W065"
    assert MIDDLEWARE in str(finding.hint)
    settings.MIDDLEWARE = [MIDDLEWARE]
    assert not check(READ_ONLY=True)


def test_what_has_no_replicas_any_more_is_not_carried() -> None:
    with domicile.unit_of_work() as reading:
        domicile.note_write("gone")
        assert domicile.carried_positions() == ""
        assert not positions.settle(reading)
