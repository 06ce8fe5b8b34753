"""Everything that touches a connection, in any order, in tenants of every placement.

Each row says which tenant wrote it. The machine keeps what every tenant ought to hold, and compares
at each step through Django, and at the end with what the drivers find in the databases.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    Error,
    IntegrityError,
    InterfaceError,
    close_old_connections,
    connection,
    connections,
    transaction,
)
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import domicile
from domicile.exceptions import CrossTenantError, TenantRequired
from tests.isolation.campus import Campus, Undo, homes, kill, truth
from tests.testproject.students.models import Club, Student

NAMES = (
    *("schema/a", "schema/b", "schema/c", "schema15/a", "schema15/b"),
    *("database/a", "mariadb/a", "mariadb/b", "file/a"),
)
SETTINGS = settings(
    max_examples=40,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    print_blob=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
INSERT = "INSERT INTO students_student (registration, name, home) VALUES (%s, '', %s)"
SELECT = "SELECT registration, home FROM students_student"
tenants = st.sampled_from(range(len(NAMES)))


class Mixture(RuleBasedStateMachine):
    campus: Campus

    def __init__(self) -> None:
        super().__init__()
        self.tenants = self.campus(*NAMES)
        #: What each tenant ought to hold: registration → home.
        self.rows: dict[str, dict[str, str]] = {tenant.slug: {} for tenant in self.tenants}
        #: What is open, innermost last: activations, and atomic blocks with what they may undo.
        self.open: list[Any] = []
        self.active: list[Any] = [None]
        self.count = 0
        self.start_with_no_handles()

    # What is known ------------------------------------------------------------------------------

    @property
    def here(self) -> Any:
        return self.active[-1]

    def session(self, tenant: Any) -> Any:
        return connections[tenant.alias].session

    def in_atomic(self, tenant: Any) -> bool:
        return connections[tenant.alias].in_atomic_block

    def any_atomic(self) -> bool:
        return any(kind == "atomic" for kind, *_ in self.open)

    def forget_handles(self) -> None:
        """Cursors, and iterators that have one, end with their connection or transaction."""
        for _, handle in (*self.cursors, *self.iterators):
            with suppress(Error):
                handle.close()
        self.start_with_no_handles()

    def start_with_no_handles(self) -> None:
        self.cursors: list[Any] = []
        self.iterators: list[Any] = []
        self.querysets: list[Any] = []
        self.instances: list[Any] = []

    def fresh(self) -> str:
        self.count += 1
        return str(self.count)

    def wrote(self, tenant: Any, *keys: str) -> None:
        self.rows[tenant.slug].update(dict.fromkeys(keys, tenant.slug))

    def student(self, tenant: Any) -> Student:
        return Student(registration=self.fresh(), name="", home=tenant.slug)

    def compare(self, tenant: Any, pairs: Any) -> None:
        assert dict(pairs) == self.rows[tenant.slug]

    # Coming and going ---------------------------------------------------------------------------

    @initialize(number=tenants)
    def begin(self, number: int) -> None:
        self.enter(number)

    @rule(number=tenants, by_slug=st.booleans())
    def enter(self, number: int, by_slug: bool = False) -> None:
        tenant = self.tenants[number]
        activation = domicile.activate(tenant.slug) if by_slug else tenant.activate()
        activation.__enter__()
        self.open.append(("activation", activation))
        self.active.append(tenant)

    @rule()
    def enter_shared_home(self) -> None:
        activation = domicile.no_tenant()
        activation.__enter__()
        self.open.append(("activation", activation))
        self.active.append(None)

    @precondition(lambda self: self.here)
    @rule(savepoint=st.booleans())
    def begin_atomic(self, savepoint: bool) -> None:
        session = self.session(self.here)
        together = [tenant.slug for tenant in self.tenants if self.session(tenant) is session]
        before = {slug: dict(self.rows[slug]) for slug in together}
        inner = self.in_atomic(self.here)
        atomic = transaction.atomic(savepoint=savepoint or not inner)
        atomic.__enter__()
        self.open.append(("atomic", atomic, before, savepoint or not inner))

    @precondition(lambda self: len(self.open) > 1)
    @rule(commit=st.booleans())
    def leave(self, commit: bool) -> None:
        kind, manager, *rest = self.open.pop()
        if kind == "activation":
            manager.__exit__(None, None, None)
            self.active.pop()
            return
        before, savepoint = rest
        self.forget_handles()
        if commit or not savepoint:
            manager.__exit__(None, None, None)
        else:
            manager.__exit__(Undo, Undo(), None)
            self.rows.update(before)

    @precondition(lambda self: self.here and self.in_atomic(self.here))
    @rule(number=tenants)
    def plain_savepoint(self, number: int) -> None:
        sid = getattr(transaction, "savepoint_create", transaction.savepoint)()
        other = self.tenants[number]
        shares = self.session(other) is self.session(self.here)
        with other.activate():
            self.student(other).save()
        if shares:
            transaction.savepoint_rollback(sid)
        else:
            self.wrote(other, str(self.count))
            transaction.savepoint_commit(sid)
        self.forget_handles()

    @precondition(lambda self: not self.any_atomic())
    @rule()
    def end_of_request(self) -> None:
        self.forget_handles()
        close_old_connections()

    @rule(number=tenants)
    def lose_connection(self, number: int) -> None:
        tenant = self.tenants[number]
        alias = connections[tenant.alias]
        if self.any_atomic() or alias.vendor == "sqlite":
            return
        self.forget_handles()
        kill(tenant)
        with tenant.activate(), pytest.raises((DatabaseError, InterfaceError)):
            homes()
        close_old_connections()

    # Writing ------------------------------------------------------------------------------------

    @rule()
    def create(self) -> None:
        if self.here is None:
            with pytest.raises(TenantRequired):
                Student.objects.create(registration="", name="", home="")
            return
        how = self.count % 5
        student = self.student(self.here)
        if how == 0:
            student.save()
        elif how == 1:
            student.save(using="default")
        elif how == 2:
            Student.objects.bulk_create([student])
        elif how == 3:
            Student.objects.db_manager("default").bulk_create([student])
        else:
            Student.objects.using(self.here.alias).bulk_create([student])
        self.wrote(self.here, student.registration)

    @rule(number=tenants)
    def create_elsewhere(self, number: int) -> None:
        tenant = self.tenants[number]
        self.student(tenant).save(using=tenant.alias)
        self.wrote(tenant, str(self.count))

    @precondition(lambda self: self.here)
    @rule(many=st.booleans())
    def create_by_sql(self, many: bool) -> None:
        keys = [self.fresh(), self.fresh()]
        rows = [(key, self.here.slug) for key in keys]
        with connection.cursor() as cursor:
            if many:
                cursor.executemany(INSERT, rows)
            else:
                for row in rows:
                    cursor.execute(INSERT, row)
        self.wrote(self.here, *keys)

    @precondition(lambda self: self.here and connection.vendor == "postgresql")
    @rule()
    def create_by_copy(self) -> None:
        key = self.fresh()
        statement = "COPY students_student (registration, name, home) FROM STDIN"
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write_row((key, "", self.here.slug))
        self.wrote(self.here, key)

    @precondition(lambda self: self.here)
    @rule()
    def update_and_relate(self) -> None:
        students = list(Student.objects.all())
        club, _ = Club.objects.get_or_create(name=f"club of {self.here.slug}")
        for student in students:
            student.name = self.here.slug
        Student.objects.bulk_update(students, ["name"])
        club.members.add(*students)
        (club,) = Club.objects.prefetch_related("members")
        assert club.name == f"club of {self.here.slug}"
        self.compare(self.here, [(each.registration, each.home) for each in club.members.all()])
        assert {each.name for each in club.members.all()} <= {self.here.slug}

    @precondition(lambda self: self.here and self.rows[self.here.slug])
    @rule(caught_by_savepoint=st.booleans())
    def duplicate(self, caught_by_savepoint: bool) -> None:
        student = Student(registration=next(iter(self.rows[self.here.slug])), home="nobody")
        if caught_by_savepoint or self.in_atomic(self.here):
            with pytest.raises(IntegrityError), transaction.atomic():
                student.save()
        else:
            with pytest.raises(IntegrityError):
                student.save()

    @precondition(lambda self: self.here)
    @rule()
    def error_in_a_transaction(self) -> None:
        with suppress(Undo), transaction.atomic():
            self.student(self.here).save()
            with pytest.raises(DatabaseError), connection.cursor() as cursor:
                cursor.execute("SELECT nothing FROM nowhere")
            raise Undo
        self.forget_handles()

    # Wandering off ------------------------------------------------------------------------------

    @precondition(lambda self: self.here)
    @rule(number=tenants, how=st.integers(0, 5))
    def application_wanders(self, number: int, how: int) -> None:
        other, vendor = self.tenants[number].slug, connection.vendor
        if vendor == "postgresql":
            wander = (
                f'SET search_path TO "{other}", public',
                "SET LOCAL search_path TO public",
                f"SELECT set_config('search_path', '\"{other}\", public', false)",
                "RESET search_path",
                f'SELECT 1; SET search_path TO "{other}"; SELECT 2',
                f"DO $$ BEGIN PERFORM set_config('search_path', '\"{other}\"', false); END $$",
            )[how]
            with connection.cursor() as cursor:
                cursor.execute(wander)
        elif vendor == "mysql":
            with connection.cursor() as cursor:
                cursor.execute(f"USE `test_{other}`" if "mariadb" in other else "USE mysql")

    @precondition(lambda self: self.here and connection.vendor == "postgresql")
    @rule(everything=st.booleans())
    def application_resets(self, everything: bool) -> None:
        with connection.cursor() as cursor:
            if not everything:
                cursor.execute("RESET ALL")
            elif not self.in_atomic(self.here):
                self.forget_handles()
                cursor.execute("DISCARD ALL")

    # Reading ------------------------------------------------------------------------------------

    @invariant()
    def reads_its_own(self) -> None:
        if self.here is not None:
            assert connection.alias == self.here.alias
            self.compare(self.here, Student.objects.values_list("registration", "home"))
        else:
            assert connection.alias == "default"

    @rule(number=tenants)
    def read_elsewhere(self, number: int) -> None:
        tenant = self.tenants[number]
        students = Student.objects.using(tenant.alias)
        self.compare(tenant, students.values_list("registration", "home"))
        with connections[tenant.alias].cursor() as cursor:
            cursor.execute(SELECT)
            self.compare(tenant, cursor.fetchall())

    @precondition(lambda self: self.here)
    @rule()
    def keep_handles(self) -> None:
        self.querysets.append((self.here, Student.objects.all()))
        self.instances += [(self.here, each) for each in Student.objects.all()[:1]]
        iterator = Student.objects.order_by("pk").iterator(chunk_size=1)
        self.iterators.append((self.here, iterator))
        if next(iterator, None) is None:
            self.iterators.pop()
        self.cursors.append((self.here, connection.cursor()))

    @precondition(lambda self: self.querysets)
    @rule()
    def evaluate_kept_queryset(self) -> None:
        tenant, queryset = self.querysets.pop()
        if self.here in (None, tenant):
            self.compare(tenant, queryset.values_list("registration", "home"))
        else:
            with pytest.raises(CrossTenantError):
                list(queryset)

    @precondition(lambda self: self.instances)
    @rule(delete=st.booleans())
    def use_kept_instance(self, delete: bool) -> None:
        tenant, student = self.instances.pop()
        if student.registration not in self.rows[tenant.slug]:
            return
        student.refresh_from_db()
        assert student.home == tenant.slug
        write = student.delete if delete else student.save
        if self.here in (None, tenant):
            write()
            if delete:
                del self.rows[tenant.slug][student.registration]
        else:
            with pytest.raises(CrossTenantError):
                write()

    @precondition(lambda self: self.iterators)
    @rule()
    def read_on(self) -> None:
        tenant, iterator = self.iterators[-1]
        student = next(iterator, None)
        if student is None:
            self.iterators.pop()
        else:
            assert student.home == tenant.slug

    @precondition(lambda self: self.cursors)
    @rule()
    def use_kept_cursor(self) -> None:
        tenant, cursor = self.cursors[-1]
        cursor.execute(SELECT)
        self.compare(tenant, cursor.fetchall())

    def teardown(self) -> None:
        while self.open:
            self._leave_last()
        connections.close_all()
        for tenant in self.tenants:
            assert truth(tenant) == self.rows[tenant.slug]

    def _leave_last(self) -> None:
        self.forget_handles()
        _, manager, *_ = self.open.pop()
        manager.__exit__(None, None, None)


def test_no_row_is_ever_in_the_wrong_home(campus: Campus) -> None:
    Mixture.campus = campus
    run_state_machine_as_test(Mixture, settings=SETTINGS)
