"""Invented marks: for the same students, on the same day, always the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from random import Random

from django.utils import timezone

from students.models import Student
from students.seed import THIS_YEAR

from .models import Mark

YEARS = 3
COURSES = (
    "Academic writing",
    "Computing",
    "Economics",
    "History of Africa",
    "Mathematics",
    "Statistics",
)


def years() -> range:
    """The years that have marks, the last first."""
    this_year = timezone.localdate().year
    return range(this_year, this_year - YEARS, -1)


def marks(students: Iterable[Student]) -> Iterator[Mark]:
    """Unsaved marks: one for each year that a student has been there."""
    for student in students:
        random = Random(student.registration_number)
        for year in years():
            if year > THIS_YEAR - student.year:
                yield Mark(
                    student=student,
                    course=random.choice(COURSES),
                    given_on=day_of(year, random),
                    points=min(100, max(0, round(random.gauss(62, 14)))),
                )


def day_of(year: int, random: Random) -> date:
    """A day of the year that is over."""
    last = min(date(year, 12, 31), timezone.localdate())
    return last - timedelta(days=random.randrange(last.timetuple().tm_yday))
