from __future__ import annotations

from typing import Any

from django.core.cache import cache
from django.db import router
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.functional import cached_property
from django.views.generic import CreateView, TemplateView

from analytics.models import Event
from assets.models import Asset
from blog.models import Post
from customers.models import Customer
from employees.models import Employee
from sensors.models import Reading

from .found import Found
from .models import Person, Profile

SECONDS_CACHED = 60


class People(TemplateView):
    template_name = "users/people.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        others = [
            (m._meta, Found.of(m.objects.all())) for m in (Employee, Asset, Customer, Reading)
        ]
        people = Found.of(Person.objects.select_related("profile"))
        return super().get_context_data(people=people, others=others, **kwargs)


class PersonPage(CreateView):
    """One person, out of four databases; and a form for a new post."""

    model = Post
    fields = ["title"]
    template_name = "users/person.html"

    @cached_property
    def person(self) -> Person:
        return get_object_or_404(Person, handle=self.kwargs["handle"])

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            person=self.person,
            profile=Found.of(Profile.objects.filter(person=self.person)),
            posts=Found.of(self.person.posts.all()),
            events=Found.of(self.person.events.all()),
            counts=self.counts(),
            **kwargs,
        )

    @property
    def cache_key(self) -> str:
        return f"counts-{self.person.pk}"

    def counts(self) -> Found:
        counts = cache.get_or_set(self.cache_key, self.count, SECONDS_CACHED)
        alias = router.db_for_read(cache.cache_model_class)
        return Found([counts], [alias], ["Apps puts Django's cache there."])

    def count(self) -> dict[str, Any]:
        return {
            "posts": self.person.posts.count(),
            "events": self.person.events.count(),
            "counted_at": timezone.now(),
        }

    def form_valid(self, form: Any) -> HttpResponse:
        form.instance.author = self.person
        response = super().form_valid(form)
        Event.objects.create(person=self.person, name="wrote a post")
        cache.delete(self.cache_key)
        return response

    def get_success_url(self) -> str:
        return self.person.get_absolute_url()
