"""The connection handler: views, moves, limits, and what Django's tests and requests do to it."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import (
    DatabaseError,
    ProgrammingError,
    connection,
    connections,
    reset_queries,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.transaction import TransactionManagementError
from django.db.utils import ConnectionDoesNotExist
from django.test import SimpleTestCase, TestCase, override_settings
from django.test.testcases import DatabaseOperationForbidden

import domicile
from domicile import connections as handler_module
from domicile import wrappers
from domicile.backends.limits import open_connections
from domicile.connections import configured, register_family
from domicile.context import Activation
from domicile.exceptions import ConnectionLimitReached, UnknownTenant
from domicile.placement import Home, Placement
from tests.cases import run_class
from tests.isolation.campus import (
    Campus,
    campus,  # noqa: F401
    enrol,
    homes,
    in_thread,
    truth,
)
from tests.servers import require
from tests.testproject.students.models import Student


@pytest.fixture
def pair(campus: Campus):  # noqa: F811
    return campus.pair("schema")


@pytest.fixture
def own(campus: Campus):  # noqa: F811
    tenants = campus("database/a", "database/b", "file/a")
    connections.close_all()
    return tenants


@contextmanager
def domicile_settings(**changes):
    with override_settings(DOMICILE={**settings.DOMICILE, **changes}):
        yield


# Aliases -----------------------------------------------------------------------------------------


def test_default_is_the_active_tenants(pair):
    a, _ = pair
    assert connections["default"].alias == connection.alias == "default"
    with a.activate():
        assert connections["default"] is connections[a.alias]
        assert connection.alias == a.alias
        assert connections["shared"].alias == "shared"
        assert connections["shared"].owner is connections[a.alias].owner
        with domicile.no_tenant():
            assert connection.alias == "default"
    assert connections["shared"].session is connections["default"].session


def test_what_is_open_is_found_whatever_its_alias_is_like(pair):
    a, _ = pair
    apart = connections["default"].copy("eu:main")
    connections["eu:main"] = apart
    try:
        for alias in ("default", "eu:main", a.alias):
            assert connections.opened(alias) is connections[alias]
        assert connections.opened("shared") is connections["default"]
        assert connections.opened("eu:other") is None
    finally:
        del connections["eu:main"]


def test_what_django_makes_by_the_class_of_a_view_has_a_session_of_its_own():
    view = connections["shared"]
    made = view.__class__(view.settings_dict, "made")  # As for a moment without a database.
    assert made.owner is made
    assert made.session is not view.session
    assert type(made) is type(connections["default"])


def test_aliases_of_nobody(campus: Campus):  # noqa: F811
    with pytest.raises(UnknownTenant):
        _ = connections["tenant:nobody"]
    with pytest.raises(ConnectionDoesNotExist):
        _ = connections["nowhere"]
    assert set(connections) == set(settings.DATABASES)


def test_views_share_session_and_transaction(pair):
    a, b = pair
    with transaction.atomic(using=a.alias):
        assert connections[b.alias].in_atomic_block
        assert connections["default"].in_atomic_block
        assert connections[b.alias].connection is connections["shared"].connection
        transaction.set_rollback(True, using=b.alias)
    assert not connections[a.alias].in_atomic_block


def test_threads_have_sessions_of_their_own(pair):
    a, _ = pair
    mine = connections[a.alias].session
    assert in_thread(lambda: connections[a.alias].session) is not mine


def test_all_gives_each_session_once(pair, own):
    for tenant in (*pair, *own):
        homes(Student.objects.using(tenant.alias))
    sessions = [wrapper.session for wrapper in connections.all(initialized_only=True)]
    assert len(sessions) == len(set(map(id, sessions)))
    assert {connections[tenant.alias].session for tenant in (*pair, *own)} <= set(sessions)
    connections.close_all()
    assert all(wrapper.connection is None for wrapper in connections.all())


def test_queries_are_logged_where_they_run(pair):
    a, _ = pair
    with a.activate():
        connection.force_debug_cursor = True
        try:
            reset_queries()
            homes()
            (query,) = connection.queries
            assert "search_path" not in query["sql"]
        finally:
            connection.force_debug_cursor = False


def test_copy_reaches_the_same_home(pair, own):
    for tenant in (*pair, *own):
        enrol(tenant, "1")
        copy = connections[tenant.alias].copy()
        try:
            assert copy.session is not connections[tenant.alias].session
            with copy.cursor() as cursor:
                cursor.execute("SELECT home FROM students_student")
                assert [home for (home,) in cursor.fetchall()] == [tenant.slug]
        finally:
            copy.close()


def test_a_home_that_was_made_anew_is_known_again(pair):
    a = pair[0]
    for _ in range(2):
        again = Activation(replace(a.home), a)
        with again:
            assert connection.alias == a.alias
            assert connections[a.alias].home is again.home


def test_tenant_that_moved(pair):
    a, b = pair
    enrol(a, "1")
    enrol(b, "1")
    with a.activate():
        assert homes() == [a.slug]
    moved = Activation(replace(a.home, placement=b.placement), a)
    with moved:
        assert connection.alias == a.alias
        assert homes() == [b.slug]
    with a.activate():
        assert homes() == [a.slug]


def test_tenant_that_moved_to_a_database_of_its_own(pair, own):
    a, d = pair[0], own[0]
    enrol(d, "1")
    with Activation(Home(a.alias, d.placement), a):
        assert homes() == [d.slug]
        moved = connections[a.alias]
    with a.activate():
        assert homes() == []
    assert connections[a.alias] is not moved
    assert moved.connection is None


def test_a_placement_whose_settings_changed_is_reached_anew(pair, own):
    a, d, f = pair[0], own[0], own[-1]
    connections[a.alias].ensure_connection()
    closed, kept = connections[d.alias], connections[f.alias]
    closed.ensure_connection()
    placements = {
        **settings.DOMICILE["PLACEMENTS"],
        a.placement.template: {"DATABASE": "postgres15", "SCHEMA": "other_{slug}"},
        d.placement.template: {"DATABASE": "postgres15", "NAME": "other_{slug}"},
    }
    with domicile_settings(PLACEMENTS=placements):
        elsewhere = connections[a.alias]
        assert elsewhere.owner is connections["postgres15"]
        assert elsewhere.schema.startswith("other_")
        assert connections[d.alias] is not closed
        assert closed.connection is None
        assert connections[f.alias] is kept
    assert connections[a.alias].owner is connections.static("default")


def test_times_are_as_the_settings_now_say(pair):
    def now():
        with pair[0].activate(), connection.cursor() as cursor:
            cursor.execute("SELECT now()")
            return cursor.fetchone()[0]

    assert now().tzinfo is not None
    with override_settings(USE_TZ=False):
        assert now().tzinfo is None
    assert now().tzinfo is not None


def test_wrappers_are_bounded(pair):
    a, _ = pair
    enrol(a, "1")
    with patch.object(wrappers, "_MAX_WRAPPERS", 3), transaction.atomic(using=a.alias):
        for number in range(10):
            home = Home(f"tenant:x{number}", Placement("schema", f"x{number}"))
            with Activation(home):
                assert connection.alias == home.alias
        with a.activate():
            assert connection.in_atomic_block
            assert homes() == [a.slug]
        assert len(connections._wrappers().views) <= 3


def test_the_wrapper_used_longest_ago_goes_first(pair):
    def visit(*names: str) -> None:
        for name in names:
            with Activation(Home(f"tenant:{name}", Placement("schema", name))):
                assert connection.alias == f"tenant:{name}"

    with patch.object(wrappers, "_MAX_WRAPPERS", 3):
        visit("x1", "x2", "x3", "x1", "x4")
        assert list(connections._wrappers().views) == ["tenant:x3", "tenant:x1", "tenant:x4"]


def test_open_sessions_are_not_dropped(own):
    with patch.object(wrappers, "_MAX_WRAPPERS", 1), ExitStack() as stack:
        for tenant in own:
            stack.enter_context(transaction.atomic(using=tenant.alias))
            enrol(tenant, "1")
        for tenant in own:
            assert connections[tenant.alias].in_atomic_block
    assert [truth(tenant) for tenant in own] == [{"1": tenant.slug} for tenant in own]


# Families ----------------------------------------------------------------------------------------


@pytest.fixture
def family(monkeypatch):
    families = {}
    monkeypatch.setattr(handler_module.HomeConnectionHandler, "families", families)
    return lambda found: register_family("found:", found.__getitem__)


def test_a_family_answers_with_homes(pair, family):
    a, _ = pair
    enrol(a, "1")
    home = Home("found:a", a.placement)
    family({"found:a": home})
    assert connections["found:a"].session is connections["shared"].session
    assert homes(Student.objects.using("found:a")) == [a.slug]
    with a.activate():
        assert connections["found:a"].home is home
        assert connections["default"].alias == a.alias
    with pytest.raises(KeyError):
        _ = connections["found:b"]
    with pytest.raises(ConnectionDoesNotExist):
        _ = connections["lost:a"]


@pytest.mark.parametrize("engine", ["domicile.backends.sqlite3", "django.db.backends.sqlite3"])
def test_a_family_answers_with_settings(campus: Campus, family, tmp_path, engine):  # noqa: F811
    databases = {"found:a": configured({"ENGINE": engine, "NAME": tmp_path / "file"})}
    family(databases)
    wrapper = connections["found:a"]
    assert wrapper is connections["found:a"]
    wrapper.ensure_connection()
    assert wrapper in connections.all(initialized_only=True)
    assert "found:a" not in set(connections)
    databases["found:a"] = configured({**databases["found:a"], "CONN_MAX_AGE": 5})
    assert connections["found:a"].settings_dict["CONN_MAX_AGE"] == 5
    assert wrapper.connection is None
    assert wrapper not in connections.all(initialized_only=True)
    connections.forget("found:a")


def test_a_family_may_answer_otherwise_once_a_transaction_has_ended(family, tmp_path, campus):  # noqa: F811
    file = {"ENGINE": "domicile.backends.sqlite3", "NAME": tmp_path / "file"}
    databases = {"found:a": configured(file)}
    family(databases)
    try:
        with transaction.atomic(using="found:a"):
            before = connections["found:a"]
            databases["found:a"] = configured({**file, "NAME": tmp_path / "other"})
            assert connections["found:a"] is before
        assert connections["found:a"].settings_dict["NAME"] == tmp_path / "other"
    finally:
        connections.forget("found:a")


def test_a_home_is_reached_through_another_session(pair, family):
    """As it is by a replica: here by a database that is added and holds the same rows."""
    a, _ = pair
    enrol(a, "1")
    databases = {"found:replica": configured(settings.DATABASES["default"])}
    databases["found:a"] = Home("found:a", a.placement, through="found:replica")
    family(databases)
    try:
        assert homes(Student.objects.using("found:a")) == [a.slug]
        view, owner = connections["found:a"], connections["found:replica"]
        assert view.owner is owner
        assert view.session is not connections["shared"].session
        connections.forget("found:replica")
        assert owner.connection is None
        assert connections["found:a"].owner is connections["found:replica"]
    finally:
        connections.forget("found:replica")


@pytest.mark.parametrize("prefix", ["", ":", "found", "a:b:", "found::"])
def test_a_prefix_is_a_word_and_a_colon(prefix):
    with pytest.raises(ValueError, match="colon"):
        register_family(prefix, {}.__getitem__)


# The limit ---------------------------------------------------------------------------------------


def test_connection_used_longest_ago_is_closed(own):
    with domicile_settings(MAX_CONNECTIONS=2):
        for tenant in own:
            homes(Student.objects.using(tenant.alias))
        assert open_connections.stats() == {"open": 2, "limit": 2, "waiting": 0}
        still = [connections[tenant.alias].connection is not None for tenant in own]
        assert still == [False, True, True]
        assert homes(Student.objects.using(own[0].alias)) == []
        assert connections[own[1].alias].connection is None


def test_connections_in_use_are_not_closed(own):
    one, other, _ = own
    with domicile_settings(MAX_CONNECTIONS=1, CONNECTION_WAIT=0.05):
        with transaction.atomic(using=one.alias):
            homes(Student.objects.using(one.alias))
            with pytest.raises(ConnectionLimitReached, match="MAX_CONNECTIONS"):
                homes(Student.objects.using(other.alias))
        with connections[one.alias].cursor() as cursor:
            cursor.execute("SELECT 1")
            with pytest.raises(ConnectionLimitReached):
                homes(Student.objects.using(other.alias))
            assert cursor.fetchone() == (1,)
        assert homes(Student.objects.using(other.alias)) == []


def test_idle_connection_of_another_thread_is_closed(own):
    one, other, _ = own
    idle, done = threading.Event(), threading.Event()

    def hold():
        homes(Student.objects.using(one.alias))
        idle.set()
        done.wait(20)
        return connections[one.alias].connection is None, homes(Student.objects.using(one.alias))

    with domicile_settings(MAX_CONNECTIONS=1):
        results = []
        thread = threading.Thread(
            target=lambda: (results.append(hold()), connections.close_all()),
        )
        thread.start()
        assert idle.wait(20)
        assert homes(Student.objects.using(other.alias)) == []
        connections.close_all()
        done.set()
        thread.join()
    assert results == [(True, [])]


def test_a_waiting_thread_gets_what_is_released(own):
    one, other, _ = own
    with domicile_settings(MAX_CONNECTIONS=1, CONNECTION_WAIT=20):
        started = threading.Event()

        def wait():
            started.set()
            return homes(Student.objects.using(other.alias))

        results = []
        thread = threading.Thread(
            target=lambda: (results.append(wait()), connections.close_all()),
        )
        with transaction.atomic(using=one.alias):
            homes(Student.objects.using(one.alias))
            thread.start()
            assert started.wait(20)
            assert results == []
        connections.close_all()
        thread.join()
    assert results == [[]]


def test_schemas_do_not_count(pair, own):
    connections.close_all()
    with domicile_settings(MAX_CONNECTIONS=1), transaction.atomic(using=pair[0].alias):
        homes(Student.objects.using(own[0].alias))
        assert homes(Student.objects.using(pair[1].alias)) == []


# Django's test cases -----------------------------------------------------------------------------


def test_simple_test_case_blocks_tenants_too(pair, own):
    tenants = [*pair, *own]
    for tenant in tenants:
        homes(Student.objects.using(tenant.alias))

    class Case(SimpleTestCase):
        def test(self):
            for tenant in tenants:
                with tenant.activate():
                    with pytest.raises(DatabaseOperationForbidden):
                        homes()
                    with pytest.raises(DatabaseOperationForbidden):
                        list(Student.objects.iterator())
                    with pytest.raises(DatabaseOperationForbidden):
                        connection.cursor()

    run_class(Case)
    for tenant in tenants:
        assert homes(Student.objects.using(tenant.alias)) == []


def test_test_case_rolls_tenants_back(pair):
    a, b = pair

    class Case(TestCase):
        def test(self):
            enrol(a, "1")
            with b.activate(), transaction.atomic():
                enrol(b, "1")
            assert homes(Student.objects.using(a.alias)) == [a.slug]
            with self.captureOnCommitCallbacks(execute=True) as callbacks, a.activate():
                transaction.on_commit(lambda: seen.append(domicile.current_tenant()))
            assert len(callbacks) == 1

        test_again = test

    seen = []
    run_class(Case)
    assert seen == [a, a]
    assert truth(a) == truth(b) == {}


# Django's own tables of every home ---------------------------------------------------------------


def test_content_types_and_permissions_are_each_homes_own(campus: Campus, placement: str):  # noqa: F811
    a, b = campus.pair(placement)
    with a.activate():
        ContentType.objects.create(app_label="only", model="here")
        user = User.objects.create(username="ama")
        permission = Permission.objects.get(codename="add_student")
        user.user_permissions.add(permission)
        assert User.objects.get().has_perm("students.add_student")
        kind = ContentType.objects.get_for_model(Student)
        assert kind._state.db == a.alias
    with b.activate():
        theirs = ContentType.objects.get_for_model(Student)
        assert theirs._state.db == b.alias
        assert theirs.model_class() is Student
        assert not ContentType.objects.filter(app_label="only").exists()
        assert not User.objects.exists()
    assert not ContentType.objects.filter(app_label="only").exists()
    assert ContentType.objects.get_for_model(Permission)._state.db == "default"
    with a.activate():
        User.objects.all().delete()
        ContentType.objects.filter(app_label="only").delete()


@pytest.mark.parametrize("alias", ["postgres15", "mariadb"])
def test_database_on_a_server_that_no_alias_names(campus: Campus, alias: str):  # noqa: F811
    """A placement with settings of its own; each tenant has a session of its own."""
    require(alias)
    elsewhere = {
        key: settings.DATABASES[alias][key]
        for key in ("ENGINE", "HOST", "PORT", "USER", "PASSWORD")
    }
    placements = {**settings.DOMICILE["PLACEMENTS"], "elsewhere": {**elsewhere, "NAME": "t_{slug}"}}
    with domicile_settings(PLACEMENTS=placements):
        one, other = (
            domicile.create_tenant(slug, placement="elsewhere") for slug in ("one", "other")
        )
        try:
            enrol(one, "1")
            for tenant, written in ((one, ["one"]), (other, [])):
                with tenant.activate():
                    assert homes() == written
            assert connections[one.alias].session is not connections[other.alias].session
            assert "placement:elsewhere" in {wrapper.alias for wrapper in connections.all()}
        finally:
            domicile.drop_tenant(one)
            domicile.drop_tenant(other)
            connections.close_all()


# What is asked for every request and query -------------------------------------------------------


@pytest.fixture(params=["default", "tenant"])
def wrapper(request, pair):
    return connections["default" if request.param == "default" else pair[0].alias]


def test_execute_wrappers_are_heard(wrapper):
    heard = []

    def listen(execute, sql, params, many, context):
        heard.append((sql, context["connection"] is wrapper))
        return execute(sql, params, many, context)

    with wrapper.execute_wrapper(listen), wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    assert heard == [("SELECT 1", True)]


def test_a_broken_transaction_is_refused(wrapper):
    with transaction.atomic(using=wrapper.alias):
        wrapper.set_rollback(True)
        with pytest.raises(TransactionManagementError):
            wrapper.cursor().execute("SELECT 1")


def test_errors_of_the_driver_are_djangos(wrapper):
    with wrapper.cursor() as cursor:
        with pytest.raises(ProgrammingError) as raised:
            cursor.execute("SELEC")
        assert isinstance(raised.value.__cause__, wrapper.Database.Error)
        assert wrapper.errors_occurred
        wrapper.errors_occurred = False
        for fetch in (cursor.fetchone, cursor.fetchmany, cursor.fetchall):
            with pytest.raises(ProgrammingError):
                fetch()


def test_another_threads_wrapper_is_refused(wrapper):
    wrapper.ensure_connection()

    def use():
        with pytest.raises(DatabaseError, match="thread"):
            wrapper.cursor()

    in_thread(use)
    wrapper.inc_thread_sharing()
    try:
        in_thread(lambda: wrapper.cursor().close())
    finally:
        wrapper.dec_thread_sharing()


def test_an_unhealthy_connection_is_made_anew(wrapper):
    wrapper.ensure_connection()
    wrapper.connection.close()
    wrapper.health_check_enabled, wrapper.health_check_done = True, False
    try:
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        wrapper.health_check_enabled = False


def test_who_listens_to_djangos_cursors_hears_ours(wrapper, monkeypatch):
    heard = []
    execute = CursorWrapper.execute

    def traced(self, sql, params=None):
        heard.append(sql)
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", traced)
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    assert heard == ["SELECT 1"]


def test_who_refuses_connections_refuses_cursors_of_open_ones(wrapper, monkeypatch):
    def refuse(self):
        raise LookupError

    wrapper.ensure_connection()
    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", refuse)
    with pytest.raises(LookupError):
        wrapper.cursor()


def test_a_connection_with_errors_or_another_autocommit_is_closed_after_the_request(wrapper):
    wrapper.ensure_connection()
    wrapper.connection.close()
    wrapper.errors_occurred = True
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is None
    wrapper.set_autocommit(False)
    wrapper.close_if_unusable_or_obsolete()
    assert wrapper.connection is None


def test_a_wrapper_can_be_replaced_and_removed():
    real = connections["default"]
    stand_in = object()
    connections["default"] = stand_in
    try:
        assert connections["default"] is stand_in
    finally:
        connections["default"] = real
    connections["spare"] = stand_in
    del connections["spare"]
    with pytest.raises(AttributeError):
        del connections["spare"]
    with pytest.raises(ConnectionDoesNotExist):
        connections["spare"]


def test_who_looks_at_the_session_of_a_wrapper_goes_with_it(pair):
    real, alias = connections["default"], pair[0].alias
    assert connections[alias].owner is real
    del connections["default"]
    try:
        assert connections[alias].owner is connections["default"]
    finally:
        connections["default"].close()
        del connections["default"]
        connections["default"] = real
    assert connections[alias].owner is real
