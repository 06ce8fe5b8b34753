"""Stands for the bookshop's own program, which made its table long before there was Django.

Domicile opens that database for reading only, so this goes by the driver.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from campus.place import Place

TABLE = """
CREATE TABLE IF NOT EXISTS customers (
    number integer NOT NULL PRIMARY KEY,
    name varchar(120) NOT NULL,
    city varchar(60) NOT NULL
)
"""
CUSTOMERS = [
    (1, "Amina Kamau", "Nairobi"),
    (2, "Kofi Asante", "Accra"),
    (3, "Ngozi Okafor", "Lagos"),
    (4, "Eric Mugisha", "Kigali"),
    (5, "Wanjiru Njoroge", "Nairobi"),
    (6, "Efua Boateng", "Accra"),
]


def open_up(place: Place) -> None:
    """Make the table and its rows, unless they are there."""
    with closing(connect(place)) as connection:
        cursor = connection.cursor()
        cursor.execute(TABLE)
        cursor.execute("SELECT count(*) FROM customers")
        if cursor.fetchone() == (0,):
            mark = "%s" if place.mariadb else "?"
            insert = f"INSERT INTO customers VALUES ({mark}, {mark}, {mark})"
            cursor.executemany(insert, CUSTOMERS)
        connection.commit()


def connect(place: Place) -> Any:
    if place.mariadb:
        return place.mariadb.connect("legacy")
    return sqlite3.connect(place.data / "legacy.sqlite3")
