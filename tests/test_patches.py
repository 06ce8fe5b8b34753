"""What `domicile.patches` changes in Django: that it is in force, and may be.

What it is for is shown in `tests/isolation/test_rows.py`.
"""

from __future__ import annotations

import inspect
import pickle

import pytest
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentTypeManager
from django.db import models
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import QuerySet, Subquery
from django.db.models.deletion import Collector
from django.db.models.manager import BaseManager
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE, MULTI
from django.db.models.sql.datastructures import Join
from django.db.models.sql.query import RawQuery

from domicile import patches
from domicile.exceptions import CrossTenantError
from tests.isolation.campus import Campus, campus, enrol, homes  # noqa: F401
from tests.testproject.students.models import Course, Student
from tests.testproject.universities.models import University

SIGNATURES = {
    (Query, "__init__"): ["model", "alias_cols"],
    (QuerySet, "bulk_update"): ["objs", "fields", "batch_size"],
    (QuerySet, "update"): ["kwargs"],
    (QuerySet, "resolve_expression"): ["args", "kwargs"],
    (QuerySet, "_combinator_query"): ["combinator", "other_qs", "all"],
    (Subquery, "__init__"): ["queryset", "output_field", "extra"],
    (Query, "as_sql"): ["compiler", "connection"],
    (SQLCompiler, "get_combinator_sql"): ["combinator", "all"],
    (Query, "split_exclude"): ["filter_expr", "can_reuse", "names_with_path"],
    (Join, "as_sql"): ["compiler", "connection"],
    (Collector, "related_objects"): ["related_model", "related_fields", "objs"],
    (MigrationRecorder, "ensure_schema"): [],
    (MigrationRecorder, "record_applied"): ["app", "name"],
    (MigrationRecorder, "record_unapplied"): ["app", "name"],
    (ContentTypeManager, "db_manager"): ["using", "hints"],
    (models.Model, "full_clean"): ["exclude", "validate_unique", "validate_constraints"],
    (models.Model, "validate_unique"): ["exclude"],
    (models.Model, "save_base"): ["raw", "force_insert", "force_update", "using", "update_fields"],
    (models.Model, "delete"): ["using", "keep_parents"],
}


@pytest.mark.parametrize(("owner", "name"), SIGNATURES, ids=str)
def test_django_still_has_these_signatures(owner: type, name: str):
    # `signature` follows `__wrapped__` to Django's own function.
    parameters = list(inspect.signature(getattr(owner, name)).parameters)
    assert parameters == ["self", *SIGNATURES[owner, name]]
    assert getattr(owner, name).__wrapped__.__module__.startswith("django.")


def test_django_executes_reads_by_these_arguments():
    # Patched only where a rule has replicas.
    execute = inspect.signature(SQLCompiler.execute_sql).parameters
    assert [(name, each.default) for name, each in execute.items()][1:] == [
        ("result_type", MULTI),
        ("chunked_fetch", False),
        ("chunk_size", GET_ITERATOR_CHUNK_SIZE),
    ]
    assert list(inspect.signature(RawQuery._execute_query).parameters) == ["self"]


def test_an_instance_s_state_is_told_its_database():
    state = Course.from_db("other", [], [])._state
    assert state.db == "other"
    assert vars(pickle.loads(pickle.dumps(state)))["db"] == "other"
    assert Course()._state.db is None


def test_bulk_create_takes_the_objects_first():
    assert list(inspect.signature(QuerySet.bulk_create).parameters)[:2] == ["self", "objs"]


def test_attributes_that_the_patches_read():
    queryset = QuerySet(Course)
    assert (queryset._db, queryset._hints, queryset._for_write) == (None, {}, False)
    assert (Course.objects._db, Course.objects._hints) == (None, {})
    for owner, name in ((QuerySet, "db"), (BaseManager, "db")):
        assert isinstance(owner.__dict__[name], property)


def test_marks_of_methods_that_alter_data_are_kept():
    for method in (models.Model.delete, models.Model.save_base, QuerySet.update):
        assert method.alters_data
    assert QuerySet.bulk_create.__name__ == "bulk_create"


def test_installed_once():
    before = {(owner, name): getattr(owner, name) for owner, name in SIGNATURES}
    patches.install()
    assert before == {(owner, name): getattr(owner, name) for owner, name in SIGNATURES}


@pytest.fixture
def pair(campus: Campus):  # noqa: F811
    return campus.pair("schema")


def test_pickled_queryset_and_instance_remember_their_home(pair):
    a, b = pair
    student = enrol(a, "1")
    with a.activate():
        everybody = pickle.dumps(Student.objects.all().query)
        mine = pickle.dumps(student)
        queryset = Student.objects.all()
        queryset.query = pickle.loads(everybody)
        assert homes(queryset) == [a.slug]
    with b.activate(), pytest.raises(CrossTenantError):
        pickle.loads(mine).save()


def test_custom_managers_and_clones_remember(pair):
    a, b = pair
    with a.activate():
        querysets = [
            Student.objects.filter(name="x").exclude(home="y").order_by("pk").distinct()[:3],
            Student.objects.values("home"),
            Student._base_manager.all(),
            Student.objects.none() | Student.objects.all(),
            Student.objects.select_related("course").only("home"),
        ]
    with b.activate():
        for queryset in querysets:
            with pytest.raises(CrossTenantError):
                list(queryset)


def test_models_of_both_homes(pair):
    a, b = pair
    with a.activate():
        inside = User.objects.create(username="ama")
        group = Group.objects.create(name="staff")
        inside.groups.add(group)
    outside = User.objects.create(username="root")
    try:
        assert (inside._state.db, outside._state.db) == (a.alias, "default")
        with b.activate():
            for user in (inside, outside):
                with pytest.raises(CrossTenantError):
                    user.save()
            with pytest.raises(CrossTenantError):
                outside.groups.add(group)
            assert [user.username for user in User.objects.using("shared")] == ["root"]
            assert list(inside.groups.all()) == [group]
            assert not User.objects.exists()
        with pytest.raises(CrossTenantError):
            inside.save(using="shared")
        assert [user.username for user in User.objects.all()] == ["root"]
    finally:
        outside.delete()
        inside.groups.clear()
        inside.delete()
        group.delete()


def test_shared_models_may_be_parts_and_values(pair):
    a, _ = pair
    enrol(a, "1")
    with a.activate():
        slugs = University.objects.filter(slug=a.slug).values("slug")
        assert homes(Student.objects.filter(home__in=slugs)) == [a.slug]
        university = University.objects.get(slug=a.slug)
        university.name = "Accra"
        university.save()
    assert University.objects.get(slug=a.slug).name == "Accra"


def test_a_part_that_was_made_in_no_tenant_is_read_where_the_whole_is(pair):
    a, _ = pair
    student = enrol(a, "1")
    everybody = Student.objects.all()
    at_a = Student.objects.using(a.alias)
    for whole in (
        at_a.filter(pk__in=everybody),
        at_a.filter(models.Exists(everybody.filter(pk=models.OuterRef("pk")))),
        at_a.union(everybody),
    ):
        assert list(whole) == [student]
