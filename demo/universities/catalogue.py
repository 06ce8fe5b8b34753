"""The universities that the demo begins with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from students.models import Student
from students.seed import students

from .models import University

USERNAME, PASSWORD = "admin", "campus"


@dataclass(frozen=True)
class Entry:
    slug: str
    city: str
    country: str
    accent: str
    students: int
    placement: str

    @property
    def name(self) -> str:
        return f"University of {self.city}"

    @property
    def host(self) -> str:
        return f"{self.slug}.localhost"

    def enrolled(self) -> Iterator[Student]:
        return students(self.country, self.students)

    def available_placement(self) -> str:
        """Its placement, or a file where there is no PostgreSQL."""
        return self.placement if self.placement in settings.DOMICILE["PLACEMENTS"] else "file"


CATALOGUE = (
    Entry("nairobi", "Nairobi", "Kenya", "#0b5d8a", 412, "schema"),
    Entry("accra", "Accra", "Ghana", "#7a3b8f", 356, "schema"),
    Entry("lagos", "Lagos", "Nigeria", "#146c43", 438, "file"),
    Entry("kigali", "Kigali", "Rwanda", "#a34a0d", 274, "file"),
)


@transaction.atomic
def furnish(tenant: University) -> None:
    """Give a new university its first user and students (`DOMICILE["INITIAL_DATA"]`).

    Runs with the university active. One that is not in the catalogue begins without students.
    """
    make_admin()
    for entry in CATALOGUE:
        if entry.slug == tenant.slug:
            Student.objects.bulk_create(entry.enrolled())


def make_admin() -> None:
    """Where there is no user yet, in a university or outside all of them, make the first."""
    users = get_user_model()._default_manager
    if not users.exists():
        users.create_superuser(USERNAME, f"{USERNAME}@campus.example", PASSWORD)
