"""After a write a reader sees it: on a real PostgreSQL and two replicas that stopped replaying."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import django
import pytest
from asgiref.sync import sync_to_async
from celery import Celery
from django.db import DatabaseError, OperationalError, connections, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext

import domicile
from domicile.exceptions import WriteRefused
from domicile.integrations import celery_carrying
from domicile.replicas.middleware import ReadYourWritesMiddleware
from domicile.replicas.reading import current_reading, innermost
from domicile.routing import readers_of
from domicile.rules import Apps, Replicas
from tests.databases import databases, make_database, migrate
from tests.processes import eventually
from tests.replication import LOGGING, PostgresReplica, postgres
from tests.servers import PostgresServer, absent
from tests.testproject.people.models import Person
from tests.visitors import Visitor

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])

RULES = [
    Apps({"people": "users"}),
    # As far behind as can be, so that nothing but positions keeps readers from them.
    Replicas("users", ["users_a", "users_b"], max_lag_seconds=600, max_lag_bytes=None, every=0.1),
]
_names = (f"person {number}" for number in itertools.count())


@pytest.fixture(scope="module")
def servers(django_db_setup: None, django_db_blocker: Any) -> Iterator[Any]:
    primary = PostgresServer(18, **LOGGING)
    if not primary.present:
        absent(primary.description())
    primary.start()
    settings = make_database(primary, "users")
    with django_db_blocker.unblock(), databases({"users": settings}, RULES[:1]):
        migrate("users")
    a, b = PostgresReplica(primary), PostgresReplica(primary)
    a.start()
    b.start()
    added = {
        "users": settings,
        "users_a": {**settings, **a.django_settings()},
        "users_b": {**settings, **b.django_settings()},
    }
    yield SimpleNamespace(primary=primary, a=a, b=b, databases=added)
    for server in (a, b, primary):
        server.discard()


@contextmanager
def running(servers: Any, **changes: Any) -> Iterator[None]:
    with databases(servers.databases, RULES, **changes):
        replicas: Any = readers_of("users")
        replicas.monitor.start()
        eventually(lambda: len(replicas.table.ready) == 2)
        innermost.set(None)
        yield
        connections.close_all()


@pytest.fixture
def cluster(servers: Any) -> Iterator[Any]:
    with running(servers):
        yield servers


@contextmanager
def behind(*replicas: PostgresReplica) -> Iterator[None]:
    """Replicas that show nothing new."""
    with ExitStack() as stack:
        for replica in replicas:
            replica.catch_up()
            replica.pause()
            stack.callback(replica.resume)
        yield


def new_name() -> str:
    return next(_names)


def write(_: Any = None) -> str:
    return Person.objects.create(name=new_name()).name


def by_sql(_: Any = None) -> str:
    name = new_name()
    with connections["users"].cursor() as cursor:
        cursor.execute("INSERT INTO people_person (name) VALUES (%s)", [name])
    return name


def in_atomic(_: Any = None) -> str:
    with transaction.atomic(using="users"):
        return write()


def without_waiting(_: Any = None) -> str:
    with connections["users"].cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
    return write()


def sees(name: str) -> Any:
    return lambda _: Person.objects.filter(name=name).exists()


def where(_: Any = None) -> str:
    return Person.objects.all().db


@pytest.mark.parametrize("way", [write, by_sql, in_atomic, without_waiting])
def test_the_next_request_sees_it(cluster: Any, way: Any) -> None:
    """The requests are GETs all of them, and no redirects."""
    visitor = Visitor()
    with behind(cluster.a, cluster.b):
        name = visitor.visit(way)
        assert visitor.visit(sees(name))
        assert visitor.visit(where) == "users"
        assert Visitor().visit(where) != "users", "who has written nothing needs no primary"


def test_a_replica_that_has_it_is_read_from(cluster: Any) -> None:
    visitor = Visitor()
    with behind(cluster.a):
        name = visitor.visit(write)
        cluster.b.catch_up()
        assert visitor.visit(where) == "users_b"
        assert visitor.visit(sees(name))


def test_a_reader_waits_a_little(servers: Any) -> None:
    """For a replica that has it soon: neither the primary is asked, nor an old row shown."""
    with running(servers, POSITION_WAIT=5000):
        visitor = Visitor()
        with behind(servers.b):
            servers.a.pause()
            name = visitor.visit(write)
            resuming = sync_to_async(servers.a.resume, thread_sensitive=False)

            async def both() -> Any:
                return await asyncio.gather(_later(resuming), _in_thread(visitor, sees(name)))

            assert asyncio.run(both())[1] == (True, True)


async def _later(func: Any) -> None:
    await asyncio.sleep(0.2)
    await func()


async def _in_thread(visitor: Visitor, view: Any) -> tuple[Any, bool]:
    def visit() -> tuple[Any, bool]:
        try:
            return visitor.visit(lambda request: (view(request), where() != "users"))
        finally:
            connections.close_all()

    return await sync_to_async(visit, thread_sensitive=False)()


def test_one_replica_for_a_request(cluster: Any) -> None:
    assert all(
        len(set(Visitor().visit(lambda _: [where() for _ in range(5)]))) == 1 for _ in range(6)
    )


def test_the_same_request_sees_what_it_wrote(cluster: Any) -> None:
    with behind(cluster.a, cluster.b):

        def view(_: HttpRequest) -> bool:
            return sees(write())(None)

        assert Visitor().visit(view)


def test_atomic_reads_the_primary(cluster: Any) -> None:
    with transaction.atomic(using="users"):
        assert where() == "users"
        with domicile.use_replica():
            assert where() == "users"
    assert where() != "users"


def test_levels(cluster: Any) -> None:
    with behind(cluster.a, cluster.b):
        name = write()
        assert sees(name)(None)
        with domicile.use_replica():
            assert not sees(name)(None)
            with domicile.primary():
                assert sees(name)(None)
        with domicile.consistency("bounded", milliseconds=600_000):
            assert where() != "users"
        assert Person.objects.using("users_a").filter(name=name).count() == 0


def test_positions_are_dropped_when_all_replicas_have_them(cluster: Any) -> None:
    visitor = Visitor()
    with behind(cluster.a):
        visitor.visit(write)
        cluster.b.catch_up()
        visitor.visit(where)
        assert "domicile_position" in visitor.cookies
    eventually(lambda: visitor.visit(where) and not visitor.cookies)


def test_a_read_hands_out_no_cookie(cluster: Any) -> None:
    visitor = Visitor()
    visitor.visit(where)
    assert not visitor.response.cookies


def test_a_forged_cookie_says_nothing(cluster: Any) -> None:
    visitor = Visitor()
    visitor.visit(write)
    text = visitor.cookies["domicile_position"].value
    for forged in (text[:-2], "primary", ""):
        visitor.cookies["domicile_position"] = forged
        assert visitor.visit(lambda _: dict(current_reading().positions)) == {}


def test_the_cookie_is_kept_from_scripts(cluster: Any) -> None:
    visitor = Visitor()
    with override_settings(SESSION_COOKIE_SECURE=True):
        visitor.visit(write)
    morsel = visitor.response.cookies["domicile_position"]
    assert (morsel["httponly"], morsel["secure"], morsel["samesite"]) == (True, True, "Lax")


def test_two_writes_and_the_later_position(cluster: Any) -> None:
    visitor = Visitor()
    with behind(cluster.a, cluster.b):
        visitor.visit(write)
        first = visitor.visit(lambda _: current_reading().positions["users"].position)
        visitor.visit(write)
        second = visitor.visit(lambda _: current_reading().positions["users"].position)
    assert second.reaches(first)
    assert not first.reaches(second)


def test_the_primary_dies_before_it_tells_where_it_is(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write is known, its position is not: the time window is left."""

    def position(_: Any) -> None:
        raise OperationalError("server closed the connection")

    visitor = Visitor()
    with behind(cluster.a, cluster.b):
        with monkeypatch.context() as patch:
            patch.setattr(
                "domicile.backends.postgresql.replication.PostgresReplication.position", position
            )
            name = visitor.visit(write)
        assert visitor.visit(sees(name))
    with override_settings():
        assert visitor.visit(where) == "users"


def test_services_tell_each_other(servers: Any) -> None:
    with running(servers, POSITION_HEADER="X-Position"), behind(servers.a, servers.b):
        with domicile.unit_of_work():
            name = write()
            headers = {"X-Position": domicile.carried_positions()}
        service = Visitor()
        assert service.visit(sees(name), **headers)
        other = service.visit(write, **headers)
        with domicile.unit_of_work():
            assert not sees(other)(None)
        with domicile.unit_of_work():
            domicile.carry_positions(service.response["X-Position"])
            assert sees(other)(None)
        visitor = Visitor()
        visitor.visit(write)
        assert "X-Position" not in visitor.response, "a visitor is no service"
        assert visitor.visit(where, **{"X-Position": "primary"}) == "users", "by the cookie"
        assert Visitor().visit(where, **{"X-Position": "primary"}) != "users"


def test_the_session_carries_it(servers: Any) -> None:
    session: dict[str, Any] = {}

    def visit(view: Any) -> Any:
        answers = []

        def get_response(request: HttpRequest) -> HttpResponse:
            answers.append(view(request))
            return HttpResponse()

        request = RequestFactory().get("/")
        request.session = session  # type: ignore[assignment]
        response = ReadYourWritesMiddleware(get_response)(request)
        assert not response.cookies
        return answers[0]

    with running(servers, POSITION_CARRIER="session"), behind(servers.a, servers.b):
        name = visit(write)
        assert visit(sees(name))
        session.clear()
        assert not visit(sees(name))


def test_a_stream_is_still_its_request(cluster: Any) -> None:
    names = []

    def view(_: HttpRequest) -> StreamingHttpResponse:
        names.append(write())
        return StreamingHttpResponse(str(sees(name)(None)) for name in names)

    with behind(cluster.a, cluster.b):
        response = ReadYourWritesMiddleware(view)(RequestFactory().get("/"))
        assert b"".join(response) == b"True"
        response.close()


def test_async_requests(cluster: Any) -> None:
    found = []

    async def view(request: HttpRequest) -> HttpResponse:
        if "name" not in request.GET:
            person = await Person.objects.acreate(name=new_name())
            return HttpResponse(person.name)
        found.append(await Person.objects.filter(name=request.GET["name"]).aexists())
        return HttpResponse()

    async def visits() -> None:
        middleware = ReadYourWritesMiddleware(view)
        written = await middleware(RequestFactory().get("/"))
        request = RequestFactory().get("/", {"name": written.content.decode()})
        request.COOKIES["domicile_position"] = written.cookies["domicile_position"].value
        await middleware(request)
        await sync_to_async(connections.close_all)()

    with behind(cluster.a, cluster.b):
        asyncio.run(visits())
    assert found == [True]


@pytest.fixture
def app() -> Iterator[Celery]:
    celery_carrying.install()
    app = Celery("positions", broker="memory://", set_as_current=False)
    yield app
    app.close()


def test_celery_tasks_see_what_was_written_before(cluster: Any, app: Celery) -> None:
    sent = []

    @app.task(name="sees")
    def task(name: str) -> bool:
        return sees(name)(None)

    def publish(name: str) -> dict[str, Any]:
        with app.producer_pool.acquire(block=True) as producer:
            producer.publish = lambda body, headers=None, **_: sent.append(headers)
            task.apply_async((name,), producer=producer)
        return sent[-1]

    with behind(cluster.a, cluster.b):
        with domicile.unit_of_work():
            name = write()
            headers = publish(name)
        assert headers["domicile_position"]
        with domicile.unit_of_work():
            assert "domicile_position" not in publish(name)
        for given, seen in ((headers, True), ({}, False)):
            assert in_worker(task, name, given) is seen


def in_worker(task: Any, name: str, headers: Any) -> Any:
    """What the task returns, as a worker does it: traced, with the message's headers."""
    from celery.app.trace import build_tracer

    tracer = build_tracer(task.name, task, app=task.app)
    request = {**headers, "id": "1", "hostname": "here"}
    return tracer("1", (name,), {}, request).retval


def test_tasks_of_any_queue(cluster: Any) -> None:
    @domicile.carrying
    def task(name: str) -> bool:
        return sees(name)(None)

    @domicile.carrying
    async def later(name: str) -> bool:
        return await Person.objects.filter(name=name).aexists()

    async def run_later(name: str, **arguments: str) -> bool:
        try:
            return await later(name, **arguments)
        finally:
            await sync_to_async(connections.close_all)()

    with behind(cluster.a, cluster.b):
        with domicile.unit_of_work():
            name = write()
            arguments = domicile.position_argument()
        assert task(name, **arguments)
        assert not task(name)
        assert asyncio.run(run_later(name, **arguments))
        with domicile.unit_of_work():
            assert domicile.position_argument() == {}


def is_there(name: str) -> bool:
    return Person.objects.filter(name=name).exists()


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django has no tasks of its own before 6.0")
def test_djangos_own_tasks(cluster: Any, settings: Any) -> None:
    from django.tasks import default_task_backend, task

    from tests.queues import CarryingQueue, adone, done

    settings.TASKS = {
        "default": {"BACKEND": f"{CarryingQueue.__module__}.{CarryingQueue.__qualname__}"}
    }
    look = task(is_there)
    with behind(cluster.a, cluster.b):
        with domicile.unit_of_work():
            name = write()
            look.enqueue(name)
            asyncio.run(look.aenqueue(name))
        assert done(look)
        look.enqueue(name)
        assert not done(look)
        assert adone(look)
    assert default_task_backend.sent == []


class Test40001:
    """Replay waits for nobody: what a read needs is gone, and the read is given up."""

    @pytest.fixture
    def conflict(self, cluster: Any) -> Iterator[list[str]]:
        """Reads of replicas fail as in a conflict, so many times as there are entries."""
        left: list[str] = []

        def conflicting(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
            alias = context["connection"].alias
            if alias in left:
                left.remove(alias)
                # The server's own words and code, from a function that raises them.
                sql = "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"
                return execute(sql, None, False, context)
            return execute(sql, params, many, context)

        with (
            connections["users_a"].execute_wrapper(conflicting),
            connections["users_b"].execute_wrapper(conflicting),
        ):
            yield left

    def test_another_replica(self, conflict: list[str]) -> None:
        first = where()
        conflict.append(first)
        assert Person.objects.count() >= 0
        assert not conflict
        assert where() not in (first, "users")

    def test_then_the_primary(self, conflict: list[str]) -> None:
        conflict += ["users_a", "users_b"]
        with CaptureQueriesContext(connections["users"]) as asked:
            assert isinstance(list(Person.objects.all()), list)
        assert len(asked) == 1
        assert not conflict

    def test_raw_queries_too(self, conflict: list[str]) -> None:
        conflict.append(where())
        assert isinstance(list(Person.objects.raw("SELECT * FROM people_person")), list)
        assert not conflict

    def test_never_inside_atomic(self, conflict: list[str]) -> None:
        """What was read there before must still be true."""
        alias = where()
        conflict.append(alias)
        with pytest.raises(OperationalError), transaction.atomic(using=alias):
            list(Person.objects.using(alias))

    def test_other_errors_are_the_readers_own(self, cluster: Any) -> None:
        with pytest.raises(DatabaseError, match="nowhere"):
            list(Person.objects.raw("SELECT * FROM nowhere"))


@pytest.fixture
def impatient(cluster: Any) -> Iterator[Any]:
    """A replica that gives up reads at once that are in the way of its replay."""
    postgres(cluster.a, "ALTER SYSTEM SET max_standby_streaming_delay = 0")
    postgres(cluster.a, "SELECT pg_reload_conf()")
    yield cluster.a
    postgres(cluster.a, "ALTER SYSTEM RESET max_standby_streaming_delay")
    postgres(cluster.a, "SELECT pg_reload_conf()")


def test_a_real_conflict(impatient: PostgresReplica) -> None:
    """The replay of a lock meets a read that holds the table."""
    Person.objects.create(name=new_name())
    impatient.catch_up()
    served = []

    def read() -> None:
        with domicile.unit_of_work() as reading:
            reading.chosen["users"] = "users_a"
            served.append(len(Person.objects.extra(select={"slept": "pg_sleep(2)"})[:1]))
            served.append(reading.chosen["users"])
        connections.close_all()

    reader = threading.Thread(target=read)
    reader.start()
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    eventually(lambda: postgres(impatient, asleep)[0])
    with transaction.atomic(using="users"), connections["users"].cursor() as cursor:
        cursor.execute("LOCK TABLE people_person IN ACCESS EXCLUSIVE MODE")
    reader.join()
    assert served[0] == 1
    assert served[1] != "users_a"


class TestReadOnlyPrimary:
    """The server behind the primary's alias takes no writes: it was demoted, or is a replica."""

    @pytest.fixture
    def demoted(self, cluster: Any) -> Iterator[Any]:
        """A session that is read-only, as on a server that was demoted under it."""
        connection = connections["users"]
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
        connection.close_at = None  # As with CONN_MAX_AGE = None.
        yield connection.connection
        connection.close()

    def test_connects_anew(self, demoted: Any) -> None:
        name = write()
        assert connections["users"].connection is not demoted
        assert sees(name)(None)

    def test_not_inside_atomic_but_for_the_next_request(self, demoted: Any) -> None:
        with pytest.raises(DatabaseError, match="read-only"):
            in_atomic()
        connections["users"].close_if_unusable_or_obsolete()
        assert sees(in_atomic())(None)

    def test_only_once(self, servers: Any) -> None:
        read_only = {"OPTIONS": {"options": "-c default_transaction_read_only=on"}}
        added = {**servers.databases, "users": {**servers.databases["users"], **read_only}}
        with databases(added, RULES), pytest.raises(DatabaseError, match="read-only"):
            write()

    def test_a_connection_that_was_cut_off(self, cluster: Any) -> None:
        connections["users"].ensure_connection()
        pid = connections["users"].connection.info.backend_pid
        postgres(cluster.primary, f"SELECT pg_terminate_backend({pid}, 5000)")
        assert sees(write())(None)


def test_writes_prevented(cluster: Any) -> None:
    connections["users"].ensure_connection()
    sent = []

    def note(execute: Any, sql: Any, *arguments: Any) -> Any:
        sent.append(sql)
        return execute(sql, *arguments)

    with connections["users"].execute_wrapper(note), domicile.writes_prevented():
        for way in (write, by_sql, in_atomic):
            with pytest.raises(WriteRefused, match="'users'"):
                way()
        assert Person.objects.using("users").count() >= 0
    assert len(sent) == 1
    assert sees(write())(None)


def test_writes_prevented_in_other_threads_of_the_context(cluster: Any) -> None:
    async def attempt() -> None:
        async with domicile.writes_prevented("Not in reports."):
            await Person.objects.acreate(name=new_name())

    async def both() -> str:
        try:
            with pytest.raises(WriteRefused, match=r"Not in reports\."):
                await attempt()
            return (await Person.objects.acreate(name=new_name())).name
        finally:
            await sync_to_async(connections.close_all)()

    assert asyncio.run(both())


def test_the_whole_site_is_read_only(cluster: Any) -> None:
    def view(_: HttpRequest) -> HttpResponse:
        return HttpResponse(write())

    middleware = ReadYourWritesMiddleware(view)
    domicile.set_read_only(True, "We are moving.")
    try:
        with pytest.raises(WriteRefused, match="We are moving"):
            middleware(RequestFactory().get("/"))
        with domicile.unit_of_work(), pytest.raises(WriteRefused) as refused:
            write()
        response = _answer(middleware, refused.value)
        assert (response.status_code, response["Retry-After"]) == (503, "120")
        assert response.content == b"We are moving. Please come back later.\n"
        assert isinstance(Visitor().visit(where), str)
    finally:
        domicile.set_read_only(False)
    assert middleware(RequestFactory().get("/")).status_code == 200


def _answer(middleware: Any, error: Exception) -> Any:
    with domicile.unit_of_work():
        return middleware.process_exception(RequestFactory().get("/"), error)


def test_read_only_by_the_settings(servers: Any) -> None:
    with running(servers, READ_ONLY=True), domicile.unit_of_work(), pytest.raises(WriteRefused):
        write()
    with running(servers), domicile.unit_of_work():
        write()
