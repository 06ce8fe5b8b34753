from __future__ import annotations

import domicile
from django.core.validators import RegexValidator
from django.db import models


class University(domicile.Tenant):
    city = models.CharField(max_length=60, blank=True)
    country = models.CharField(max_length=60, blank=True)
    accent = models.CharField(
        max_length=7,
        default="#495057",
        validators=[RegexValidator(r"^#[0-9a-fA-F]{6}\Z", "A colour such as #0b5d8a.")],
        help_text="The colour of its pages. White text must be legible on it.",
    )

    LIVES_IN = {"schema": "PostgreSQL, schema {name}", "file": "SQLite, file {name}.sqlite3"}

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "universities"

    def lives_in(self) -> str:
        """Where its students and users are, in words."""
        words = self.LIVES_IN.get(self.placement.template, str(self.placement))
        return words.format(name=self.placement.name)


class Hostname(domicile.Domain):
    pass
