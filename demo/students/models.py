from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.urls import reverse


class StudentQuerySet(models.QuerySet["Student"]):
    def search(self, text: str) -> StudentQuerySet:
        """The students in whom every word of the text is found, in whichever field."""
        found = self
        for word in text.replace("\0", "").split():
            found = found.filter(
                models.Q(registration_number__icontains=word)
                | models.Q(first_name__icontains=word)
                | models.Q(last_name__icontains=word)
                | models.Q(programme__icontains=word)
            )
        return found

    def programmes(self) -> list[str]:
        return list(self.order_by("programme").values_list("programme", flat=True).distinct())


class Student(models.Model):
    registration_number = models.CharField(
        max_length=20,
        unique=True,
        validators=[
            RegexValidator(
                r"^[A-Z0-9]+([/.-][A-Z0-9]+)*\Z",
                "Use letters and digits, with / . or - between them.",
            )
        ],
        error_messages={"unique": "Another student has this registration number already."},
    )
    first_name = models.CharField("first names", max_length=60)
    last_name = models.CharField(max_length=60)
    programme = models.CharField(max_length=80)
    year = models.PositiveSmallIntegerField(
        "year of study",
        default=1,
        validators=[
            MinValueValidator(1, "Years of study begin at 1."),
            MaxValueValidator(7, "The longest programme takes 7 years."),
        ],
    )

    objects = StudentQuerySet.as_manager()

    class Meta:
        ordering = ["last_name", "first_name", "registration_number"]

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"

    def get_absolute_url(self) -> str:
        return reverse("students:edit", args=[self.pk])
