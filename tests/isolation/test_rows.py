"""Instances, querysets and cursors of one tenant, used while another is active."""

from __future__ import annotations

import pytest
from django.db import connection, connections, router, transaction
from django.db.models import Exists, OuterRef, Prefetch, Subquery

from domicile.exceptions import CrossTenantError, TenantRequired
from tests.isolation.campus import Campus, enrol, homes, truth
from tests.testproject.students.models import Club, Course, Student
from tests.testproject.universities.models import University


@pytest.fixture
def pair(campus: Campus, placement: str):
    return campus.pair(placement)


def test_queryset_made_in_one_is_not_evaluated_in_another(pair):
    a, b = pair
    enrol(a, "1")
    enrol(b, "1")
    with a.activate():
        everybody = Student.objects.all()
        named = Student.objects.using("default")
    with b.activate():
        for queryset in (everybody, named, everybody.filter(name="")):
            with pytest.raises(CrossTenantError, match="was made in"):
                list(queryset)
        assert homes(everybody.using(b.alias)) == [b.slug]
    assert homes(everybody) == homes(named) == [a.slug]


def test_evaluated_queryset_keeps_its_rows(pair):
    a, b = pair
    enrol(a, "1")
    with a.activate():
        everybody = Student.objects.all()
        assert len(everybody) == 1
    with b.activate():
        assert [student.home for student in everybody] == [a.slug]


def test_instance_is_not_written_in_another(pair):
    a, b = pair
    mine = enrol(a, "1")
    enrol(b, "1")
    with b.activate():
        mine.name = "overwritten"
        writes = [
            mine.save,
            mine.delete,
            lambda: mine.save(using=b.alias),
            lambda: mine.save(using="default"),
            lambda: mine.save(using="shared"),
            lambda: mine.delete(using="default"),
            lambda: mine.save_base(raw=True),
            lambda: Student.objects.bulk_create([mine]),
            lambda: Student.objects.bulk_update([mine], ["name"]),
            lambda: Student.objects.using("default").bulk_update([mine], ["name"]),
            lambda: Student.objects.using(b.alias).bulk_update([mine], ["name"]),
        ]
        for write in writes:
            with pytest.raises(CrossTenantError):
                write()
        mine.refresh_from_db()
        assert mine.home == a.slug
    assert truth(a) == {"1": a.slug}
    assert truth(b) == {"1": b.slug}
    assert not Student.objects.using(b.alias).filter(name="overwritten").exists()


def test_instance_is_written_at_home_outside(pair):
    a, _ = pair
    student = enrol(a, "1")
    student.name = "Ama"
    student.save()
    assert Student.objects.using(a.alias).get().name == "Ama"
    student.delete()
    assert truth(a) == {}


def test_related_rows_stay_at_the_instance(pair):
    a, b = pair
    with a.activate():
        course = Course.objects.create(name="Law")
        club = Club.objects.create(name="Chess")
    student = enrol(a, "1", course=course)
    student.clubs.add(club)
    with b.activate():
        for related in (course.students, club.members):
            assert homes(related) == [a.slug]
            with pytest.raises(CrossTenantError):
                related.all().delete()
            with pytest.raises(CrossTenantError):
                related.update(name="")
            with pytest.raises(CrossTenantError):
                related.create(registration="2", name="", home=b.slug)
        assert Student.objects.using(a.alias).get().course == course
        with pytest.raises(CrossTenantError):
            student.clubs.clear()
    assert truth(a) == {"1": a.slug}


def test_rows_of_two_are_not_related(pair):
    a, b = pair
    with a.activate():
        course = Course.objects.create(name="Law")
        club = Club.objects.create(name="Chess")
    student = enrol(b, "1")
    with b.activate():
        relations = [
            lambda: setattr(student, "course", course),
            lambda: Student(course=course),
            lambda: Student.objects.create(registration="2", course=course),
            lambda: Student.objects.update(course=course),
            lambda: student.clubs.add(club),
            lambda: student.clubs.set([club]),
            lambda: club.members.add(student),
        ]
        for relate in relations:
            with pytest.raises(CrossTenantError):
                relate()
    assert truth(b) == {"1": b.slug}


def test_queryset_of_one_is_no_part_of_anothers(pair):
    a, b = pair
    enrol(a, "1")
    enrol(b, "1")
    with a.activate():
        inner = Student.objects.filter(registration="1")
    with b.activate():
        students = Student.objects.all()
        wholes = [
            students.filter(pk__in=inner),
            students.filter(pk__in=inner.values("pk")),
            students.filter(Exists(inner.filter(registration=OuterRef("registration")))),
            students.annotate(first=Subquery(inner.values("home")[:1])),
            students.exclude(pk__in=inner),
            students.union(inner),
        ]
        for whole in wholes:
            with pytest.raises((CrossTenantError, ValueError)):
                list(whole)
        with pytest.raises((CrossTenantError, ValueError)):
            students.filter(pk__in=inner).update(name="x")
        with pytest.raises((CrossTenantError, ValueError)):
            students.filter(pk__in=inner).delete()
        assert homes(students.filter(pk__in=Student.objects.values("pk"))) == [b.slug]
        theirs = Student.objects.using(a.alias)
        assert homes(theirs.filter(pk__in=theirs.values("pk"))) == [a.slug]
        assert homes(students.union(Student.objects.all()).values("home")) == [b.slug]
    assert truth(b) == {"1": b.slug}


def test_parts_of_a_whole_read_where_the_whole_is(pair):
    a, b = pair
    with a.activate():
        club = Club.objects.create(name="Chess")
    enrol(a, "1").clubs.add(club)
    enrol(b, "1")
    with b.activate():
        members = Student.objects.using(a.alias).filter(pk__in=club.members.values("pk"))
        assert homes(members) == [a.slug]
        with pytest.raises((CrossTenantError, ValueError)):
            list(Student.objects.filter(pk__in=club.members.values("pk")))
    with a.activate():
        found = Student.objects.filter(clubs__in=Club.objects.filter(name="Chess"))
        assert homes(found) == [a.slug]


def test_half_read_iterators_stay(pair):
    a, b = pair
    enrol(a, "1", "2", "3")
    enrol(b, "1", "2", "3")
    iterators = []
    for tenant in pair:
        with tenant.activate():
            iterators.append(Student.objects.order_by("pk").iterator(chunk_size=1))
            next(iterators[-1])
    seen = []
    for _ in range(2):
        for iterator, tenant in zip(iterators, (b, a), strict=True):
            with tenant.activate():
                seen.append(next(iterator).home)
                assert set(homes()) == {tenant.slug}
    assert seen == [a.slug, b.slug] * 2


def test_half_read_iterators_stay_in_one_transaction(pair):
    a, b = pair
    enrol(a, "1", "2", "3")
    enrol(b, "1", "2", "3")
    with a.activate(), transaction.atomic():
        mine = Student.objects.order_by("pk").iterator(chunk_size=1)
        next(mine)
        with b.activate(), transaction.atomic():
            assert [student.home for student in mine] == [a.slug] * 2
            assert homes() == [b.slug] * 3


def test_cursor_stays_at_home(pair):
    a, b = pair
    enrol(a, "1")
    enrol(b, "1")
    query = "SELECT home FROM students_student"
    with a.activate(), connection.cursor() as cursor:
        for tenant in (b, a, b):
            with tenant.activate(), connection.cursor() as other:
                other.execute(query)
                cursor.execute(query)
                assert [home for (home,) in other.fetchall()] == [tenant.slug]
                assert [home for (home,) in cursor.fetchall()] == [a.slug]


def test_executemany_goes_home(pair):
    a, b = pair
    insert = "INSERT INTO students_student (registration, name, home) VALUES (%s, '', %s)"
    for tenant in (a, b, a):
        with tenant.activate(), connection.cursor() as cursor:
            count = Student.objects.using(b.alias).count() + len(homes())
            cursor.executemany(insert, [(f"{count}{n}", tenant.slug) for n in "xyz"])
    assert list(truth(a).values()) == [a.slug] * 6
    assert list(truth(b).values()) == [b.slug] * 3


def test_explicit_default_means_the_tenant(pair):
    a, b = pair
    with a.activate():
        Student.objects.db_manager("default").create(registration="1", home=a.slug)
        Student(registration="2", home=a.slug).save(using="default")
        Student.objects.using("default").bulk_create([Student(registration="3", home=a.slug)])
        student = Student.objects.using("default").first()
        assert student._state.db == a.alias
        with transaction.atomic(using="default"):
            assert connections[a.alias].in_atomic_block
    assert set(truth(a)) == {"1", "2", "3"}
    with b.activate(), pytest.raises(CrossTenantError):
        student.save()
    with pytest.raises(TenantRequired):
        Student.objects.using("default").count()
    with pytest.raises(TenantRequired):
        Student.objects.create(registration="4")


def test_explicit_alias_beats_the_active_tenant(pair):
    a, b = pair
    with a.activate():
        Student.objects.using(b.alias).create(registration="1", home=b.slug)
        assert homes(Student.objects.using(b.alias)) == [b.slug]
        assert homes() == []
        with connections[b.alias].cursor() as cursor:
            cursor.execute("SELECT home FROM students_student")
            assert [home for (home,) in cursor.fetchall()] == [b.slug]
    assert truth(b) == {"1": b.slug}


def test_prefetched_rows_come_from_the_home_of_their_instances(pair):
    a, b = pair
    for tenant in pair:
        with tenant.activate():
            Club.objects.create(name="Chess").members.add(enrol(tenant, "1"))
    with b.activate():
        for clubs in (
            Club.objects.using(a.alias).prefetch_related("members"),
            Club.objects.using(a.alias).prefetch_related(
                Prefetch("members", Student.objects.using(a.alias).filter(registration="1"))
            ),
        ):
            assert [member.home for club in clubs for member in club.members.all()] == [a.slug]


def test_shared_rows_are_the_same_everywhere(pair):
    a, b = pair
    assert University.objects.filter(slug=a.slug).exists()
    with a.activate():
        university = University.objects.get(slug=b.slug)
        assert university._state.db == "shared"
        assert University.objects.using("default").filter(slug=b.slug).exists()
        university.founded = 1911
        university.save()
    with b.activate():
        assert router.db_for_write(University) == "shared"
        assert University.objects.get(slug=b.slug).founded == 1911


def test_what_is_said_to_be_at_default_is_the_active_tenants(pair):
    """As `create_permissions()` says of the permissions that it is about to write."""
    a, b = pair
    student = Student(home=a.slug, name="1")
    student._state.db = "default"
    with a.activate():
        assert router.db_for_write(Student, instance=student) == a.alias
        Student.objects.bulk_create([student])
    assert homes(Student.objects.using(a.alias)) == [a.slug]
    assert student._state.db == a.alias
    with b.activate(), pytest.raises(CrossTenantError):
        student.save()
