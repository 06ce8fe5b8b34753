"""Asks every page of the running demo and compares the answers with what was seeded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.contrib.auth import get_user_model
from domicile import activate, resume_tenant, suspend_tenant
from rich.table import Table

from students.models import Student
from universities.catalogue import CATALOGUE, PASSWORD, USERNAME, Entry

from .visitor import Visitor

PER_PAGE = 25
NEWCOMER = {"first_name": "Zuri", "last_name": "Newcomer", "programme": "BA Beginnings", "year": 1}
REFUSAL = "Another student has this registration number already."


@dataclass(frozen=True)
class Result:
    what: str
    where: str
    expected: object
    got: object

    @property
    def passed(self) -> bool:
        return self.expected == self.got


def table(results: list[Result]) -> Table:
    """One line for each thing that was tried, at however many addresses."""
    shown = Table("Tried", "At", "Expected", "Got", "", title="Campus, checked")
    for what in dict.fromkeys(result.what for result in results):
        same = [result for result in results if result.what == what]
        passed = all(result.passed for result in same)
        expected, got = distinct(r.expected for r in same), distinct(r.got for r in same)
        mark = "[green]✓[/]" if passed else "[bold red]✗[/]"
        shown.add_row(what, str(len(same)), expected, got, mark)
    return shown


def failures(results: list[Result]) -> Iterator[str]:
    for result in results:
        if not result.passed:
            yield f"{result.where}: {result.what}: expected {result.expected}, got {result.got}"


def distinct(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values))


def row(student: Student) -> tuple[str, ...]:
    name = f"{student.last_name}, {student.first_name}"
    return student.registration_number, name, student.programme, str(student.year)


class Check:
    def __init__(self, port: int) -> None:
        self.port = port
        self.seeded = {entry.slug: {row(s) for s in entry.enrolled()} for entry in CATALOGUE}

    def results(self) -> Iterator[Result]:
        yield from self.landing_page()
        for entry in CATALOGUE:
            for where, visitor in self.ways(entry):
                yield from self.list_of(entry, where, visitor)
        yield from self.all_at_once()
        for entry in CATALOGUE:
            yield from self.search(entry)
            yield from self.add_and_edit(entry)
        yield from self.admins()
        yield from self.strangers()
        yield from self.suspended(CATALOGUE[0])

    def at(self, entry: Entry) -> Visitor:
        return Visitor(self.port, host=entry.host)

    def shared(self) -> Visitor:
        return Visitor(self.port)

    def ways(self, entry: Entry) -> Iterator[tuple[str, Visitor]]:
        yield entry.host, self.at(entry)
        yield f"X-Tenant: {entry.slug}", Visitor(self.port, headers={"X-Tenant": entry.slug})
        yield f"/t/{entry.slug}/", Visitor(self.port, prefix=f"/t/{entry.slug}")

    def landing_page(self) -> Iterator[Result]:
        page = self.shared().get()
        yield Result("landing page", "localhost", 200, page.status)
        for entry in CATALOGUE:
            told = {
                "name": entry.name in page.text,
                "link": f'"http://{entry.host}:{self.port}/"' in page.text,
                "count": f">{entry.students}<" in page.text,
            }
            found = ", ".join(fact for fact, there in told.items() if there)
            yield Result("it tells of each", entry.slug, "name, link, count", found)
        styles = self.shared().get("/static/campus/bootstrap/bootstrap.min.css")
        yield Result("style sheet", "localhost", 200, styles.status)

    def list_of(self, entry: Entry, where: str, visitor: Visitor) -> Iterator[Result]:
        """Every student of the university is on its pages, and nobody else."""
        seeded = self.seeded[entry.slug]
        pages = [page.rows() for page in visitor.pages()]
        listed = [student for page in pages for student in page]
        sizes = [PER_PAGE] * (entry.students // PER_PAGE) + [entry.students % PER_PAGE]
        yield Result("students listed", where, len(seeded), len(listed))
        yield Result("students missing", where, 0, len(seeded - set(listed)))
        yield Result("others listed", where, 0, len(set(listed) - seeded))
        yield Result("pages", where, len(sizes), len(pages))
        yield Result("full pages", where, True, [*map(len, pages)] == sizes)

    def all_at_once(self) -> Iterator[Result]:
        """The same again with the four in turn, by several visitors at a time."""
        visits = [entry for _ in range(5) for entry in CATALOGUE]
        with ThreadPoolExecutor(max_workers=8) as pool:
            lists = list(pool.map(lambda entry: set(self.at(entry).students()), visits))
        right = sum(self.seeded[e.slug] == listed for e, listed in zip(visits, lists, strict=True))
        yield Result("lists, 8 at a time", "all hosts", len(visits), right)

    def search(self, entry: Entry) -> Iterator[Result]:
        """By a surname; and by a number, which nobody else knows."""
        seeded = self.seeded[entry.slug]
        number, name, *_ = min(seeded)
        surname = name.partition(",")[0].lower()
        expected = {student for student in seeded if surname in " ".join(student[:3]).lower()}
        found = set(self.at(entry).students(f"/?q={surname.upper()}"))
        yield Result("search a surname", entry.host, len(expected), len(found & expected))
        yield Result("it finds others", entry.host, 0, len(found - expected))
        for other in CATALOGUE:
            found_here = len(self.at(other).students(f"/?q={number}"))
            yield Result("search a number", other.host, int(other == entry), found_here)

    def add_and_edit(self, entry: Entry) -> Iterator[Result]:
        visitor, number = self.at(entry), f"NEW/{entry.city.upper()}"
        taken, *_ = min(self.seeded[entry.slug])
        refused = visitor.post("/students/add/", **NEWCOMER, registration_number=taken)
        yield Result("add a taken number", entry.host, 200, refused.status)
        yield Result("it is told why", entry.host, True, REFUSAL in refused.text)
        added = visitor.post("/students/add/", **NEWCOMER, registration_number=number.lower())
        yield Result("add a student", entry.host, 302, added.status)
        yield self.known_at(entry, number, NEWCOMER["programme"])
        changed = NEWCOMER | {"programme": "BA Endings"}
        link = visitor.get(f"/?q={number}").link(number)
        edited = visitor.post(link, **changed, registration_number=number)
        yield Result("edit the student", entry.host, 302, edited.status)
        yield self.known_at(entry, number, changed["programme"])

    def known_at(self, entry: Entry, number: str, programme: object) -> Result:
        found = {other.slug: self.at(other).students(f"/?q={number}") for other in CATALOGUE}
        listed = {slug: rows[0][2] for slug, rows in found.items() if rows}
        got = [listed.pop(entry.slug, "nothing"), *(f"also at {slug}" for slug in listed)]
        return Result("then it is known here", entry.host, programme, ", ".join(got))

    def admins(self) -> Iterator[Result]:
        """A user of one university logs in there and nowhere else."""
        home, name, password = CATALOGUE[0].host, "registrar", "known in one place"
        with activate(CATALOGUE[0].slug):
            get_user_model()._default_manager.create_superuser(name, password=password)
        session = None
        for host in [*(entry.host for entry in CATALOGUE), "localhost"]:
            visitor = Visitor(self.port, host=host)
            yield Result("admin log-in page", host, 200, visitor.get("/admin/login/").status)
            visitor.post("/admin/login/", username=name, password=password)
            welcome = 200 if host == home else 302
            yield Result("admin for Nairobi's user", host, welcome, visitor.get("/admin/").status)
            session = session or visitor.cookies
            thief = Visitor(self.port, host=host, cookies=session)
            yield Result("admin with that session", host, welcome, thief.get("/admin/").status)
            visitor = Visitor(self.port, host=host)
            visitor.post("/admin/login/", username=USERNAME, password=PASSWORD)
            yield Result("admin for its own user", host, 200, visitor.get("/admin/").status)
            shared = host == "localhost"
            students = visitor.get("/admin/students/student/").status
            yield Result("its list of students", host, 404 if shared else 200, students)
            universities = visitor.get("/admin/universities/university/").status
            yield Result("its list of universities", host, 200 if shared else 404, universities)

    def strangers(self) -> Iterator[Result]:
        for host in ("nowhere.localhost", "nairobi.example", "a.nairobi.localhost"):
            yield Result("unknown host", host, 404, Visitor(self.port, host=host).get().status)
        unknown = Visitor(self.port, headers={"X-Tenant": "nowhere"})
        yield Result("unknown header", "X-Tenant: nowhere", 404, unknown.get().status)
        yield Result("unknown path", "/t/nowhere/", 404, self.shared().get("/t/nowhere/").status)

    def suspended(self, entry: Entry) -> Iterator[Result]:
        suspend_tenant(entry.slug)
        yield Result("suspended", entry.host, 503, self.at(entry).get().status)
        for other in CATALOGUE[1:]:
            yield Result("meanwhile the others", other.host, 200, self.at(other).get().status)
        resume_tenant(entry.slug)
        yield Result("resumed", entry.host, 200, self.at(entry).get().status)
