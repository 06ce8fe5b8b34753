"""Foreign keys put into the tables that a message makes."""

from __future__ import annotations

import pytest

from domicile.backends.postgresql.inlining import keys_inside

TABLE = 'CREATE TABLE "a" ("id" bigint PRIMARY KEY, "b_id" bigint NOT NULL)'
OTHER = 'CREATE TABLE "b" ("id" bigint PRIMARY KEY)'
KEY = 'CONSTRAINT "k" FOREIGN KEY ("b_id") REFERENCES "b" ("id") DEFERRABLE INITIALLY DEFERRED'
ADDED = f'ALTER TABLE "a" ADD {KEY}'
INDEX = 'CREATE INDEX "i" ON "a" ("b_id")'
INSIDE = f"{TABLE[:-1]}, {KEY})"


@pytest.mark.parametrize("before", [[], [OTHER], ["COMMENT ON TABLE \"b\" IS 'b'"]])
@pytest.mark.parametrize("between", [[], [INDEX], ['CREATE TABLE "c" ("id" bigint)']])
def test_a_key_of_a_new_table_is_made_with_it(before: list[str], between: list[str]) -> None:
    assert keys_inside([*before, TABLE, *between, ADDED]) == [*before, INSIDE, *between]


def test_one_to_the_table_itself_too() -> None:
    own, added = KEY.replace('"b" (', '"a" ('), ADDED.replace('"b" (', '"a" (')
    assert keys_inside([TABLE, added]) == [f"{TABLE[:-1]}, {own})"]


@pytest.mark.parametrize(
    "statements",
    [
        [ADDED],  # of a table that was there, and may have rows
        [TABLE, OTHER, ADDED],
        [OTHER, TABLE, 'ALTER TABLE "b" ADD CONSTRAINT "u" UNIQUE ("id")', ADDED],
        [TABLE, 'INSERT INTO "a" VALUES (1, 1)', ADDED],
        [TABLE, 'ALTER TABLE "b" RENAME TO "c"', ADDED],
        [TABLE, f"{ADDED} NOT VALID"],
        [f"{TABLE} WITH (fillfactor = 70)", ADDED],
        [f'{TABLE} TABLESPACE "fast"', ADDED],
        ['CREATE TABLE "a" ("b_id" text DEFAULT \')\') WITH (fillfactor = 70)', ADDED],
    ],
)
def test_others_stay_where_they_are(statements: list[str]) -> None:
    assert keys_inside(statements) == statements
