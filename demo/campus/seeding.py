"""What is in the databases of the demo at first, beside the universities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from io import StringIO
from itertools import islice
from typing import Any

import domicile
from django.conf import settings
from django.core.management import call_command
from django.db.models import Model
from django.utils import timezone
from django.utils.text import slugify

from analytics.models import Event
from assets.models import Asset
from blog.models import Post
from customers.bookshop import open_up
from employees.models import Employee
from sensors.models import Reading
from students.models import Student
from universities.catalogue import CATALOGUE
from users.models import Person, Profile

DAYS_MEASURED = 120
TITLES = (
    "A quiet place to read",
    "Notes from the field trip",
    "What the exam was like",
    "The best lunch near the library",
)
EVENTS = ("logged in", "read a post", "borrowed a book", "joined a course", "took an exam")
EMPLOYEES = {
    "Grace Achieng": "librarian",
    "Yaw Darko": "laboratory technician",
    "Chinedu Eze": "caretaker",
    "Diane Uwase": "registrar",
    "Tendai Moyo": "photographer",
}
ASSETS = ("microscope", "camera", "label printer", "weather station", "projector", "van")


@cache
def members() -> dict[str, tuple[Student, str]]:
    """The people of Campus by handle: some students of each university, and its city."""
    chosen = ((s, entry.city) for entry in CATALOGUE for s in islice(entry.enrolled(), 5))
    return {slugify(str(student)): (student, city) for student, city in chosen}


def people() -> Iterator[Person]:
    for handle, (student, _) in members().items():
        yield Person(handle=handle, name=str(student))


def profiles() -> Iterator[Profile]:
    for person in Person.objects.all():
        student, city = members()[person.handle]
        yield Profile(person=person, city=city, programme=student.programme)


def posts() -> Iterator[Post]:
    """Two to four of each person."""
    now = timezone.now()
    for person in Person.objects.all():
        for number, title in enumerate(TITLES[: 2 + person.pk % 3]):
            ago = timedelta(days=9 * number + person.pk, hours=person.pk % 7)
            yield Post(author=person, title=title, published_at=now - ago)


def events() -> Iterator[Event]:
    """Four to eight of each person."""
    now = timezone.now()
    for person in Person.objects.all():
        for number in range(4 + person.pk % 5):
            name = EVENTS[(person.pk + number) % len(EVENTS)]
            yield Event(
                person=person, name=name, happened_at=now - timedelta(hours=5 * number + person.pk)
            )


def employees() -> Iterator[Employee]:
    for name, job in EMPLOYEES.items():
        yield Employee(name=name, job=job)


def assets() -> Iterator[Asset]:
    holders = list(Employee.objects.all())
    for number, name in enumerate(ASSETS):
        yield Asset(tag=f"C-{100 + number}", name=name, holder=holders[number % len(holders)])


def readings() -> Iterator[Reading]:
    """One a day and city, of the last four months."""
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)
    for day in range(1, DAYS_MEASURED + 1):
        for number, entry in enumerate(CATALOGUE):
            celsius = 24 + number + 4 * math.sin(day / 9 + number)
            taken_at = noon - timedelta(days=day)
            yield Reading(station=entry.city, taken_at=taken_at, celsius=round(celsius, 1))


SEEDS: dict[Any, Callable[[], Iterator[Model]]] = {
    Person: people,
    Profile: profiles,
    Post: posts,
    Event: events,
    Employee: employees,
    Asset: assets,
    Reading: readings,
}


def fill() -> Iterator[str]:
    """Put in what is missing; say before each step what it is."""
    call_command("createcachetable", database="cache", verbosity=0)
    call_command("partitions", "ensure", placement="months", stdout=StringIO())
    open_up(settings.PLACE)
    for model, rows in SEEDS.items():
        with domicile.primary():
            is_empty = not model.objects.exists()
        if is_empty:
            yield f"Making the {model._meta.verbose_name_plural}"
            with domicile.primary():
                model.objects.bulk_create(rows())
    with domicile.unit_of_work():
        for model in (Person, Post, Event):
            domicile.explain_route(model)  # from here on this process measures their replicas
