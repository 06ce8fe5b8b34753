"""A move while a process writes and another reads: no row is lost, none doubled."""

from __future__ import annotations

import pytest

import domicile
from domicile.fleet.moves.move import Moved
from tests import servers
from tests.conftest import PLACEMENT_DATABASES
from tests.moving import Visitor
from tests.processes import eventually
from tests.tenants import DATABASES, tenant
from tests.testproject.students.models import Student
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

WAYS = [
    ("schema", "schema15"),
    ("schema", "database"),
    ("database", "schema"),
    ("schema", "file"),
    ("file", "schema"),
    ("mariadb", "schema"),
]
#: What a visitor may be answered: what was asked for, or to come again.
KNOWN_STATUSES = {"200", "201", "503"}


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_no_row_is_lost_and_none_doubled(
    source: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for alias in filter(None, (PLACEMENT_DATABASES[source], PLACEMENT_DATABASES[target])):
        servers.require(alias)
    with (
        tenant("acme", placement=source) as acme,
        Visitor("writer") as writer,
        Visitor("reader") as reader,
    ):
        eventually(lambda: count_at(acme) > 20)
        moved = domicile.move_tenant("acme", target)
        arrived = count_at(moved.tenant)
        eventually(lambda: count_at(moved.tenant) > arrived + 20)
        wrote, read = writer.stop(), reader.stop()
        check_only_what_was_acknowledged(moved, wrote["written"])
    with capsys.disabled():
        print(
            f"\n{source} → {target}: read-only for {moved.read_only_seconds:.3f} s;"
            f" {len(wrote['written'])} rows written, answers to the writer {wrote['statuses']}"
            f" (the longest took {wrote['longest']:.3f} s), to the reader {read['statuses']}"
        )
    for visitor in (wrote, read):
        assert set(visitor["statuses"]) <= KNOWN_STATUSES


def count_at(university: University) -> int:
    return Student.objects.using(university.alias).count()


def check_only_what_was_acknowledged(moved: Moved, written: list[str]) -> None:
    with moved.tenant.activate():
        there = list(Student.objects.values_list("registration", flat=True))
    assert sorted(there) == sorted(written)
