"""What rows can hold, and what refers to what, is the same after a move."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

import domicile
from domicile.exceptions import RowsDiffer
from domicile.fleet.stock.template import Template
from tests import servers
from tests.growing import migrations
from tests.moving import fill
from tests.tenants import DATABASES, tenant
from tests.testproject.universities.models import University

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

#: Tables that no model knows: all kinds of values, and all ways to refer.
TABLES = r"""
CREATE TYPE mood AS ENUM ('calm', 'glad');
CREATE TABLE kinds (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    small smallint, whole integer, exact numeric(30, 10), real8 double precision, flag boolean,
    words text, padded char(5), bytes bytea, uid uuid, doc json, docb jsonb,
    day date, moment timestamptz, plain timestamp, clock time, span interval,
    ints integer[], texts text[][], stretch int4range, times tstzrange, address inet,
    bits bit varying(8), spot point, feeling mood, feelings mood[],
    doubled numeric GENERATED ALWAYS AS (exact * 2) STORED
);
INSERT INTO kinds (small, whole, exact, real8, flag, words, padded, bytes, uid, doc, docb, day,
    moment, plain, clock, span, ints, texts, stretch, times, address, bits, spot, feeling, feelings)
VALUES
    (-32768, 2147483647, 12345678901234567890.0123456789, 'NaN', true, E'tab\t"quote" \\ ♞ \n',
     'ab', '\x00ff00'::bytea, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b": 1,  "a": null}',
     'null', 'infinity', '2026-03-29 01:30:00.123456+05:45', '0044-03-15 12:00 BC',
     '23:59:59.999999',
     '1 year 2 mons -3 days 04:05:06.7', '{1,NULL,3}', '{{a,"b,c"},{NULL,""}}', '[1,10)',
     '(2026-01-01 00:00+00,]', '10.0.0.0/8', B'1010', '(1.5,-2)', 'glad', '{calm,glad}'),
    (NULL, NULL, 'NaN', '-Infinity', NULL, '', NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, '{}', NULL, 'empty', NULL, NULL, NULL, NULL, NULL, '{}');
INSERT INTO kinds (words, bytes)
    SELECT repeat('long ', 400000), decode(repeat('00ff10', 700000), 'hex');
CREATE TABLE egg (id integer PRIMARY KEY, hen integer NOT NULL);
CREATE TABLE hen (id integer PRIMARY KEY, egg integer NOT NULL REFERENCES egg);
INSERT INTO egg VALUES (1, 2), (2, 1);
INSERT INTO hen VALUES (1, 1), (2, 2);
ALTER TABLE egg ADD CONSTRAINT egg_hen FOREIGN KEY (hen) REFERENCES hen;
CREATE TABLE person (id serial PRIMARY KEY, boss integer REFERENCES person, name text);
INSERT INTO person VALUES (1, 3, 'a'), (2, 1, 'b'), (3, NULL, 'c');
CREATE TABLE log (day date, what text) PARTITION BY RANGE (day);
CREATE TABLE log_old PARTITION OF log FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE log_new PARTITION OF log FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
INSERT INTO log VALUES ('2025-12-31', 'old'), ('2026-01-01', 'new');
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN new.name := upper(new.name); RETURN new; END$$;
CREATE TRIGGER shout BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION shout();
CREATE VIEW bosses AS SELECT DISTINCT b.* FROM person p JOIN person b ON b.id = p.boss;
CREATE MATERIALIZED VIEW names AS SELECT name FROM person;
SELECT setval('person_id_seq', 41);
"""
READ = {
    "kinds": "SELECT k::text FROM kinds k ORDER BY id",
    "eggs": "SELECT egg.id, hen.id FROM egg JOIN hen ON hen.egg = egg.id ORDER BY 1",
    "people": "SELECT * FROM person ORDER BY id",
    "log": "SELECT tableoid::regclass::text, * FROM log ORDER BY day",
    "bosses": "SELECT * FROM bosses ORDER BY id",
    "names": "SELECT name FROM names ORDER BY 1",
    "keys": "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE contype = 'f' AND conrelid::regclass::text IN ('egg', 'hen', 'person') ORDER BY 1",
}


def query(acme: University, statement: str) -> list[Any]:
    with connections[acme.alias].cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def all_of(acme: University) -> dict[str, Any]:
    return {name: query(acme, statement) for name, statement in READ.items()}


@pytest.mark.parametrize("targets", [["schema15", "schema"], ["database", "schema"]], ids="→".join)
def test_within_postgresql_everything_travels(targets: list[str]) -> None:
    servers.require("postgres15")
    with tenant("acme", placement="schema") as created:
        acme = created
        query(acme, TABLES)
        before = all_of(acme)
        facts = connections[acme.alias].catalog_facts()
        for target in targets:
            acme = domicile.move_tenant("acme", target).tenant
            assert all_of(acme) == before
        assert connections[acme.alias].catalog_facts() == facts
        # Triggers have not met the rows that moved, and meet new ones.
        assert query(acme, "INSERT INTO person (name) VALUES ('new') RETURNING *") == [
            (42, None, "NEW")
        ]
        assert query(acme, "INSERT INTO kinds (whole) VALUES (1) RETURNING id") == [(4,)]


def test_to_another_engine_goes_what_the_models_hold() -> None:
    with tenant("acme", placement="schema") as acme:
        fill(acme, 5)
        query(acme, "CREATE TABLE gone_app (id int); INSERT INTO gone_app VALUES (1)")
        query(acme, "CREATE TABLE gone_and_empty (id int)")
        moved = domicile.move_tenant("acme", "file")
        assert moved.left_behind == ("gone_app",)


def test_a_row_that_refers_to_nothing_stops_it_before_the_switch() -> None:
    """One that came in behind Django's back, where a constraint was not looked after."""
    servers.require("postgres15")
    with tenant("acme", placement="schema") as acme:
        fill(acme, 5)
        query(
            acme,
            "SET session_replication_role = replica;"
            "UPDATE students_student SET course_id = 777 WHERE registration = '00001';"
            "SET session_replication_role = origin",
        )
        with pytest.raises(RowsDiffer, match="students_student"):
            domicile.move_tenant("acme", "schema15")
        assert University.objects.get().placement.template == "schema"


@pytest.mark.parametrize("target", ["schema15", "file"])
def test_no_table_is_held_in_memory(target: str) -> None:
    servers.require("postgres15")
    with tenant("acme", placement="schema") as acme:
        query(
            acme,
            "INSERT INTO django_session (session_key, session_data, expire_date)"
            " SELECT n::text, repeat('0123456789', 100000), now() FROM generate_series(1, 60) n",
        )
        tracemalloc.start()
        try:
            moved = domicile.move_tenant("acme", target)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert query(moved.tenant, "SELECT sum(length(session_data)) FROM django_session") == [
            (60_000_000,)
        ]
        assert peak < 40 << 20


LINKED = """
from django.db import migrations, models
class Migration(migrations.Migration):
    dependencies = [("students", "0001_initial"), ("universities", "0001_initial")]
    operations = [
        migrations.AddField(
            "student",
            "university",
            models.ForeignKey("universities.University", models.SET_NULL, null=True),
        ),
    ]
"""
LINKS = (
    "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"
    " AND conrelid = 'students_student'::regclass AND conname LIKE '%university%'"
)


@pytest.mark.parametrize("away", ["database", "schema15", "file"])
def test_keys_to_shared_tables_are_left_out_far_from_them(away: str, tmp_path: Path) -> None:
    servers.require("postgres15")
    with migrations(tmp_path, {"0002_linked": LINKED}), tenant("acme", placement="schema") as acme:
        fill(acme, 5)
        query(acme, f"UPDATE students_student SET university_id = {acme.pk}")
        facts = connections[acme.alias].catalog_facts()
        assert query(acme, LINKS) == [(1,)]
        there = domicile.move_tenant("acme", away).tenant
        if away != "file":
            assert query(there, LINKS) == [(0,)]
        back = domicile.move_tenant("acme", "schema").tenant
        assert query(back, LINKS) == [(1,)]
        assert connections[back.alias].catalog_facts() == facts
        assert query(back, "SELECT DISTINCT university_id FROM students_student") == [(acme.pk,)]
    # Its table refers to a shared one too, which no test can then empty.
    Template("schema").site.drop()
