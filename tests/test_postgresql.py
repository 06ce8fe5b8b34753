"""What only PostgreSQL has: paths, roles, pools, bindings, messages."""

from __future__ import annotations

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction
from django.test import override_settings

import domicile
from domicile.conf import conf
from domicile.exceptions import HomeMissing
from tests.isolation.campus import (
    Campus,
    campus,  # noqa: F401
    enrol,
    homes,
    in_thread,
    raw,
    raw_server_connection,
    rolled_back,
    truth,
)
from tests.isolation.engines import messages, with_settings
from tests.testproject.students.models import Student
from tests.testproject.universities.models import University

ALIASES = {"schema": "default", "schema15": "postgres15"}
WHERE = "SELECT current_schema()"


@pytest.fixture(params=list(ALIASES))
def template(request):
    return request.param


@pytest.fixture
def pair(campus: Campus, template: str):  # noqa: F811
    a, b = campus.pair(template)
    enrol(a, "1")
    enrol(b, "1")
    connections.close_all()
    return a, b


def where() -> str:
    with connection.cursor() as cursor:
        cursor.execute(WHERE)
        return cursor.fetchone()[0]


# Messages ----------------------------------------------------------------------------------------


def test_a_switch_sends_no_message_of_its_own(pair):
    a, b = pair

    def work():
        for tenant in (a, b, a):
            with tenant.activate():
                homes()
                Student.objects.create(registration=f"m{Student.objects.count()}", home=tenant.slug)
                homes()
        with a.activate(), transaction.atomic():
            homes()
            with b.activate():
                homes()

    work()  # The first time a process meets a home it asks the server how it reports it.
    Student.objects.using(a.alias).all().delete()
    Student.objects.using(b.alias).all().delete()
    sent = messages(connections[a.alias], work)
    # 3 times SELECT, COUNT, INSERT, SELECT;, BEGIN, 2 SELECT, COMMIT
    assert len(sent) == 12 + 4
    assert sum("search_path" in query for query in sent) == 5


def test_a_settled_session_sends_no_switch(pair):
    a, _ = pair
    with a.activate():
        homes()
        sent = messages(connection, lambda: [homes() for _ in range(5)])
        assert len(sent) == 5
        assert not any("search_path" in query for query in sent)


def test_statements_that_run_outside_a_transaction(pair):
    a, b = pair
    with a.activate(), connection.cursor() as cursor:
        homes(Student.objects.using(b.alias))
        cursor.execute("VACUUM students_student")
        homes(Student.objects.using(b.alias))
        cursor.execute("CREATE INDEX CONCURRENTLY by_home ON students_student (home)")
        cursor.execute("DROP INDEX CONCURRENTLY by_home")
        homes(Student.objects.using(b.alias))
        cursor.execute("CREATE DATABASE made_inside")
        cursor.execute("DROP DATABASE made_inside")


def test_statements_before_any_query_of_a_transaction(pair):
    a, b = pair
    with b.activate():
        homes()
    with a.activate(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        assert homes() == [a.slug]
        cursor.execute("SHOW transaction_isolation")
        assert cursor.fetchone() == ("serializable",)


# Drivers' ways -----------------------------------------------------------------------------------


def test_copy_and_stream_begin_where_they_are_read(pair):
    a, b = pair
    with a.activate(), connection.cursor() as cursor:
        copying = cursor.copy("COPY (SELECT home FROM students_student) TO STDOUT")
        assert homes(Student.objects.using(b.alias)) == [b.slug]
        with copying as copy:
            assert [row for (row,) in copy.rows()] == [a.slug]
        rows = cursor.stream("SELECT home FROM students_student")
        assert homes(Student.objects.using(b.alias)) == [b.slug]
        assert list(rows) == [(a.slug,)]


def test_pipelines_of_the_application(pair):
    a, b = pair
    with a.activate(), connection.cursor() as mine, connections[b.alias].cursor() as theirs:
        homes(Student.objects.using(b.alias))
        homes()
        with connection.connection.pipeline():
            mine.execute("SELECT home FROM students_student")
            theirs.execute("SELECT home FROM students_student")
        assert (mine.fetchall(), theirs.fetchall()) == ([(a.slug,)], [(b.slug,)])
        with connection.connection.pipeline():
            theirs.execute("SELECT home FROM students_student")
            mine.execute("SELECT home FROM students_student")
        assert (mine.fetchall(), theirs.fetchall()) == ([(a.slug,)], [(b.slug,)])


def test_pipeline_that_fails_half_way(pair):
    a, b = pair
    with a.activate(), connection.cursor() as mine, connections[b.alias].cursor() as theirs:
        homes()

        def work():
            with connection.connection.pipeline():
                mine.execute("SELECT nothing FROM nowhere")
                theirs.execute("SELECT home FROM students_student")

        with pytest.raises((psycopg.Error, DatabaseError)):
            work()
        assert homes(Student.objects.using(b.alias)) == [b.slug]
        assert homes() == [a.slug]


def test_rollback_to_a_savepoint_of_another_tenant(pair):
    a, b = pair
    with a.activate(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SAVEPOINT of_a")
        with b.activate(), connection.cursor() as other:
            assert homes() == [b.slug]
            other.execute("ROLLBACK TO SAVEPOINT of_a")
            assert homes() == [b.slug]
        assert homes() == [a.slug]


@pytest.mark.parametrize(
    "wander",
    [
        "SET search_path TO public",
        "SET LOCAL search_path TO public",
        "RESET search_path",
        "RESET ALL",
        "SELECT set_config('search_path', 'public', false)",
        "SELECT 1; SET search_path TO public",
        "DO $$ BEGIN PERFORM set_config('search_path', 'public', false); END $$",
        "DEALLOCATE ALL; PREPARE away AS SELECT set_config('search_path', 'public', false);"
        " EXECUTE away",
    ],
)
def test_application_that_wanders_off(pair, wander: str):
    a, b = pair
    for tenant in (a, b):
        with tenant.activate(), connection.cursor() as cursor:
            cursor.execute(wander)
            assert homes() == [tenant.slug]
            with transaction.atomic():
                cursor.execute(wander)
                assert homes() == [tenant.slug]
            assert homes() == [tenant.slug]
            with rolled_back():
                homes()
                with rolled_back():
                    cursor.execute(wander)
                assert homes() == [tenant.slug]
            assert homes() == [tenant.slug]


def test_named_cursor_that_wanders_off(pair):
    a, _ = pair
    with a.activate(), transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute("SELECT set_config('search_path', 'public', false)")
        cursor.fetchone()
        assert homes() == [a.slug]


@pytest.mark.parametrize("binding", [True, False])
def test_server_side_binding(pair, template: str, binding: bool):
    a, b = pair

    def work():
        for tenant in (a, b, a):
            with tenant.activate():
                assert homes() == [tenant.slug]
                with transaction.atomic():
                    assert homes(Student.objects.filter(registration="1")) == [tenant.slug]
                iterator = Student.objects.all().iterator(chunk_size=1)
                assert [student.home for student in iterator] == [tenant.slug]
                with connection.cursor() as cursor:
                    insert = "UPDATE students_student SET name = %s WHERE registration = %s"
                    cursor.executemany(insert, [(tenant.slug, "1")])
        assert Student.objects.using(b.alias).get().name == b.slug
        if binding:
            with a.activate(), connection.cursor() as cursor:
                assert isinstance(cursor.cursor, psycopg.Cursor)
                assert not isinstance(cursor.cursor, psycopg.ClientCursor)

    with_settings(ALIASES[template], work, OPTIONS={"server_side_binding": binding})


def test_statements_that_the_driver_prepares_beside_those_it_merges(pair, template: str):
    """What the driver prepared it has to forget when a table goes, whoever drops it."""
    a, b = pair

    def prepared() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_prepared_statements")
            return cursor.fetchone()[0]

    def work():
        for tenant in (a, b, a):
            with tenant.activate():
                assert where() == tenant.slug
                assert homes() == [tenant.slug]
        with a.activate(), connection.cursor() as cursor:
            psycopg.Cursor(connection.connection).execute("SELECT 1", prepare=True)
            assert prepared() == 1
            cursor.execute("DROP TABLE IF EXISTS nobody_has_this")
            assert prepared() == 0

    with_settings(ALIASES[template], work, OPTIONS={"prepare_threshold": 5})


class LoudCursor(psycopg.ClientCursor):
    seen: list[bytes] = []

    def execute(self, query, *args, **kwargs):
        self.seen.append(query)
        return super().execute(query, *args, **kwargs)


def test_cursor_factory_of_the_project(pair, template: str):
    a, b = pair

    def work():
        for tenant in (a, b, a):
            with tenant.activate():
                assert where() == tenant.slug
                with connection.cursor() as cursor:
                    assert isinstance(cursor.cursor, LoudCursor)

    with_settings(ALIASES[template], work, OPTIONS={"cursor_factory": LoudCursor})
    assert LoudCursor.seen


def test_pooled_connection_forgets_its_last_tenant(pair, template: str):
    a, b = pair
    alias = ALIASES[template]
    shared = "public"

    def work():
        for _ in range(2):
            for tenant in (a, b):
                with tenant.activate():
                    assert homes() == [tenant.slug]
                    pid = connection.connection.info.backend_pid
                connections.close_all()
                with connections[alias].cursor() as cursor:
                    cursor.execute(WHERE)
                    assert cursor.fetchone() == (shared,)
                assert connections[alias].connection.info.backend_pid == pid
                connections.close_all()
        with b.activate(), transaction.atomic():
            homes()
            assert connection.pool is connections[alias].pool

    pool = {"min_size": 1, "max_size": 1, "timeout": 5}
    with_settings(alias, work, CONN_MAX_AGE=0, OPTIONS={"pool": pool})


def test_persistent_connection_with_health_checks(pair, template: str):
    a, b = pair

    def work():
        with a.activate():
            homes()
            pid = connection.connection.info.backend_pid
        for conn in connections.all():
            conn.close_if_unusable_or_obsolete()
        with b.activate():
            assert homes() == [b.slug]
            assert connection.connection.info.backend_pid == pid
        raw(template, f"SELECT pg_terminate_backend({pid}, 5000)")
        for conn in connections.all():
            conn.close_if_unusable_or_obsolete()
        with a.activate():
            assert homes() == [a.slug]
            assert connection.connection.info.backend_pid != pid

    with_settings(ALIASES[template], work, CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)


# Homes that are gone, and tables of the same name ------------------------------------------------


@pytest.fixture
def doomed(campus: Campus, template: str):  # noqa: F811
    """A tenant whose schema may go; the shared home has tables of the same names."""
    alias = ALIASES[template]
    raw(
        template,
        "CREATE TABLE public.students_student (registration text, home text)",
    )
    raw(template, "INSERT INTO public.students_student VALUES ('0', 'public')")
    tenant, other = campus(f"{template}/doomed", f"{template}/b")
    enrol(other, "1")
    yield tenant, other, alias
    connections.close_all()
    raw(template, "DROP TABLE public.students_student")
    campus.tenants.pop(f"{template}/doomed")
    domicile.drop_tenant(tenant)


def test_schema_gone_is_home_missing(doomed, template: str):
    tenant, other, _ = doomed
    with tenant.activate():
        assert homes() == []
        assert User.objects.count() == 0
    raw(template, f'DROP SCHEMA "{tenant.slug}" CASCADE')
    for _ in range(2):
        with tenant.activate():
            for read in (homes, User.objects.count, where):
                with pytest.raises(HomeMissing, match="tenants drop"):
                    read()
            with pytest.raises(HomeMissing), transaction.atomic():
                homes()
        with other.activate():
            assert homes() == [other.slug]
    with pytest.raises(HomeMissing):
        in_thread(tenant.activate()(homes))


def test_schema_gone_in_one_long_activation(doomed, template: str):
    tenant, _, _ = doomed
    with override_settings(DOMICILE={**_domicile(), "REGISTRY_MAX_AGE": 0}), tenant.activate():
        assert homes() == []
        raw(template, f'DROP SCHEMA "{tenant.slug}" CASCADE')
        with pytest.raises(HomeMissing):
            homes()


def test_schema_that_nobody_met_is_home_missing(doomed, template: str):
    tenant, _, _ = doomed
    raw(template, f'DROP SCHEMA "{tenant.slug}" CASCADE')
    with tenant.activate(), pytest.raises(HomeMissing):
        homes()


def test_table_gone_is_an_error_or_its_twin_is_named(pair, template: str):
    a, b = pair
    with a.activate(), pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM nowhere")
    with b.activate():
        assert homes() == [b.slug]


def test_database_gone_is_home_missing(campus: Campus):  # noqa: F811
    (tenant,) = campus("database/doomed")
    with tenant.activate():
        homes()
    connections.close_all()
    raw("schema", f'DROP DATABASE "test_{tenant.slug}" WITH (FORCE)')
    for _ in range(2):
        with tenant.activate(), pytest.raises(HomeMissing, match="is gone"):
            homes()
    campus.tenants.pop("database/doomed")
    domicile.drop_tenant(tenant)


# Roles -------------------------------------------------------------------------------------------


def _domicile(**changes):
    from django.conf import settings

    return {**settings.DOMICILE, **changes}


def role_names(template: str, slug: str) -> list[str]:
    with raw_server_connection(ALIASES[template]) as server:
        query = "SELECT rolname FROM pg_roles WHERE rolname LIKE %s"
        return [name for (name,) in server.execute(query, [f"%.{slug}"])]


def try_roles(template: str) -> None:
    """Everything that roles promise, with two tenants made and dropped by the login role."""
    slugs = [f"{template}-r1", f"{template}-r2"]
    a, b = (domicile.create_tenant(slug, placement=template) for slug in slugs)
    try:
        for tenant in (a, b):
            assert len(role_names(template, tenant.slug)) == 1
            enrol(tenant, "1")
        _try_raw_sql(a, b)
        _try_shared_models(a)
        _try_wandering(a, b)
    finally:
        for slug in slugs:
            domicile.drop_tenant(slug)
    assert not role_names(template, a.slug)


def _try_raw_sql(a, b):
    with a.activate(), connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone()[0].endswith(a.slug)
        for statement in (
            f'SELECT * FROM "{b.slug}".students_student',
            f'DELETE FROM "{b.slug}".students_student',
            f'CREATE TABLE "{b.slug}".intruder ()',
        ):
            with pytest.raises(DatabaseError, match="permission denied"):
                cursor.execute(statement)
            with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                cursor.execute(statement)
        assert homes() == [a.slug]


def _try_shared_models(a):
    if a.placement.template != "schema":
        return
    with a.activate():
        university = University.objects.get(slug=a.slug)
        university.founded = 1911
        university.save()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT u.founded FROM students_student s JOIN universities_university u"
                " ON u.slug = s.home"
            )
            assert cursor.fetchall() == [(1911,)]
            with pytest.raises(DatabaseError, match="permission denied"):
                cursor.execute("UPDATE universities_university SET founded = 0")


def _try_wandering(a, b):
    with a.activate(), connection.cursor() as cursor:
        for wander in (
            "RESET ROLE",
            "RESET ALL",
            "SET ROLE NONE",
            "DISCARD ALL",
            "SELECT 1; RESET ROLE",
        ):
            cursor.execute(wander)
            cursor.execute("SELECT current_user")
            assert cursor.fetchone()[0].endswith(a.slug)
        with rolled_back():
            cursor.execute("SELECT 1")
            with b.activate(), rolled_back():
                assert homes() == [b.slug]
            cursor.execute("SELECT current_user")
            assert cursor.fetchone()[0].endswith(a.slug)
            with pytest.raises(DatabaseError), transaction.atomic():
                cursor.execute(f'SELECT * FROM "{b.slug}".students_student')


def test_roles_of_a_superuser(pair, template: str):
    with override_settings(DOMICILE=_domicile(ROLES=True)):
        with_settings(ALIASES[template], lambda: try_roles(template))
    assert not conf().roles


def test_roles_of_a_plain_user(pair, template: str):
    raw(template, "CREATE ROLE plain LOGIN CREATEROLE CREATEDB")
    raw(template, "CREATE DATABASE test_plain OWNER plain")

    def work():
        call_command("migrate", database=ALIASES[template], verbosity=0)
        try_roles(template)

    try:
        with override_settings(DOMICILE=_domicile(ROLES=True)):
            with_settings(ALIASES[template], work, USER="plain", NAME="test_plain")
    finally:
        raw(template, "DROP DATABASE test_plain WITH (FORCE)")
        raw(template, "DROP OWNED BY plain")
        raw(template, 'DROP ROLE IF EXISTS "test_plain..tenants"')
        raw(template, "DROP ROLE plain")


def test_committed_rows_name_their_tenant(pair):
    for tenant in pair:
        assert truth(tenant) == {"1": tenant.slug}
