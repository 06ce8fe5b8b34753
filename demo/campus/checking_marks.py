"""Asks each university for the marks of each year, and the commands where they are."""

from __future__ import annotations

from collections.abc import Iterator

from domicile import activate, no_tenant
from domicile.exceptions import TenantRequired

from marks.models import Mark
from marks.seed import marks, years
from students.models import Student
from universities.catalogue import CATALOGUE, Entry

from .checking import Result
from .checking_databases import told_by
from .visitor import Visitor


def results(port: int) -> Iterator[Result]:
    for entry in CATALOGUE:
        with activate(entry.slug):
            seeded = list(marks(entry.enrolled()))
        for year in years():
            expected = sorted(row(mark) for mark in seeded if mark.given_on.year == year)
            yield from page_of(entry, year, expected, Visitor(port, host=entry.host))
        yield from new_mark(entry, Visitor(port, host=entry.host))
    yield from commands()


def row(mark: Mark) -> tuple[str, ...]:
    student = mark.student
    name = f"{student.last_name}, {student.first_name}"
    return student.registration_number, name, mark.course, str(mark.points)


def home_of(entry: Entry, year: int) -> str:
    return f"tenant:{entry.slug}/marks:{year}"


def page_of(
    entry: Entry, year: int, expected: list[tuple[str, ...]], visitor: Visitor
) -> Iterator[Result]:
    """Every mark of that year and university is on its pages, and no other."""
    pages = list(visitor.pages(f"/marks/?year={year}"))
    listed = sorted(line for page in pages for line in page.rows())
    where = home_of(entry, year)
    yield Result("page of marks", where, 200, pages[0].status)
    yield Result("marks listed", where, len(expected), len(listed))
    yield Result("they are those", where, True, listed == expected)
    origins = {alias for page in pages for alias in page.origins()}
    yield Result("their home", where, where, ", ".join(origins))
    others = [each for each in years() if f"?year={each}" not in pages[0].text]
    yield Result("years to choose from", where, [], others)


def new_mark(entry: Entry, visitor: Visitor) -> Iterator[Result]:
    """Written where it belongs, and seen by nobody else."""
    year = years()[0]
    with activate(entry.slug):
        student = Student.objects.earliest("registration_number")
        mark = next(marks([student]))
        mark.course = "Written while the demo was checked"
        mark.save()
    yield Result("give a mark", entry.host, home_of(entry, year), mark._state.db)
    hosts = {other.host: Visitor(visitor.port, host=other.host) for other in CATALOGUE}
    seen = [
        host
        for host, other in hosts.items()
        if any(mark.course in page.text for page in other.pages("/marks/"))
    ]
    yield Result("it is seen there alone", entry.host, entry.host, ", ".join(seen))
    mark.delete()


def commands() -> Iterator[Result]:
    (told,) = told_by("databases", "map")
    homes = {entry["model"]: ", ".join(entry["aliases"]) for entry in told["models"]}
    yield Result("databases map", "marks.Mark", "tenant:*/marks", homes["marks.Mark"])
    for entry in CATALOGUE:
        words = ("marks.Mark", "--at", str(years()[0]), "--tenant", entry.slug)
        (route,) = told_by("databases", "route", *words)
        yield Result(
            "… --tenant --at", entry.slug, home_of(entry, years()[0]), ", ".join(route["aliases"])
        )
        words = ("--placement", "marks", "--tenant", entry.slug)
        states = [home["state"] for home in told_by("partitions", "list", *words)]
        yield Result("partitions list", entry.slug, "kept, kept, current", ", ".join(states))
    try:
        with no_tenant():
            answer = str(Mark.objects.count())
    except TenantRequired:
        answer = "refused"
    yield Result("marks outside of all", "localhost", "refused", answer)
