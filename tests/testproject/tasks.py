"""Tasks of Celery, which tell where they were done."""

from __future__ import annotations

from typing import Any

from celery import shared_task

import domicile
from tests.testproject.students.models import Student
from tests.testproject.universities.models import University


def _slug() -> str | None:
    tenant = domicile.current_tenant()
    return tenant and tenant.slug


@shared_task(ignore_result=False)
def where(*_: Any) -> str | None:
    return _slug()


@shared_task(ignore_result=False, carries_tenant=False)
def where_outside() -> str | None:
    return _slug()


@shared_task(ignore_result=False)
def enrol(registration: str) -> list[str]:
    Student.objects.create(registration=registration, name="Ama", home=_slug() or "")
    return sorted(Student.objects.values_list("registration", flat=True))


@shared_task(ignore_result=False)
def rename_all() -> None:
    """Touches shared rows alone."""
    University.objects.update(name="touched")


@shared_task(ignore_result=False, bind=True, max_retries=1)
def where_at_the_second_time(self: Any) -> str | None:
    if not self.request.retries:
        raise self.retry(countdown=0)
    return _slug()


@shared_task(ignore_result=False)
def collected(slugs: list[str | None]) -> list[str | None]:
    return [*slugs, _slug()]
