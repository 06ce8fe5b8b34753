"""Invented students with the names, programmes and registration numbers of their country."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from students.models import Student

THIS_YEAR = 2026


def students(country: str, number: int) -> Iterator[Student]:
    """Unsaved students: for the same country and number always the same ones."""
    data = json.loads(Path(__file__).with_name(f"{country.lower()}.json").read_text("utf-8"))
    codes = sorted(data["programmes"])
    random = Random(country)
    serial = 0
    for _ in range(number):
        serial += random.randint(1, 2)
        year = random.choices([1, 2, 3, 4, 5], [30, 26, 22, 16, 6])[0]
        entry = THIS_YEAR - year
        code = random.choice(codes)
        people = random.choice(data["people"])
        first_name = f"{random.choice(people['given'])} {random.choice(people['middle'])}"
        yield Student(
            registration_number=data["registration"].format(
                code=code, serial=serial, entry=entry, entry_short=entry % 100
            ),
            first_name=first_name.strip(),
            last_name=random.choice(people["family"]),
            programme=data["programmes"][code],
            year=year,
        )
