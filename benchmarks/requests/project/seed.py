"""Fills one contender's database: `python seed.py CONTENDER TENANTS`.

The rows of the directory are written through the contender's own models, and where a package has
tables of its own, `migrate` makes them. The tenants' schemas are the same SQL for everybody.
"""

import sys

import django
from directories.filling import fill
from django.db import connection, transaction
from fleet import STUDENTS, host, slug, student

BATCH = 500  # schemas in one transaction: each takes a few of the server's locks

SCHEMAS = """
DO $$
DECLARE home text;
BEGIN
    FOR number IN {first} .. {last} LOOP
        home := 't' || lpad(number::text, 5, '0');
        EXECUTE format('CREATE SCHEMA %I', home);
        EXECUTE format('CREATE TABLE %I.students_student '
                       '(id bigint PRIMARY KEY, name varchar(100) NOT NULL)', home);
        EXECUTE format('INSERT INTO %I.students_student SELECT pk, %L || pk '
                       'FROM generate_series(1, {students}) pk', home, home || ' student ');
    END LOOP;
END $$
"""


def main(contender: str, tenants: int) -> None:
    django.setup()
    if contender == "plain":
        seed_plain()
    else:
        if contender != "by-hand":  # which has no directory
            fill(contender, {slug(n): host(n) for n in range(tenants)})
        seed_schemas(tenants)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def seed_plain() -> None:
    from students.models import Student

    with connection.schema_editor() as editor:
        editor.create_model(Student)
    rows = [Student(pk=pk, name=student("plain", 0, pk)) for pk in range(1, STUDENTS + 1)]
    Student.objects.bulk_create(rows)


def seed_schemas(tenants: int) -> None:
    for first in range(0, tenants, BATCH):
        last = min(first + BATCH, tenants) - 1
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(SCHEMAS.format(first=first, last=last, students=STUDENTS))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
