from __future__ import annotations

from typing import Any

from django.db.models import Avg, QuerySet
from django.http import Http404
from django.utils import timezone
from django.utils.functional import cached_property
from django.views.generic import ListView

from users.found import Found

from .models import Mark


class MarkList(ListView):
    """The marks of one year."""

    model = Mark
    paginate_by = 25

    @cached_property
    def years(self) -> list[int]:
        """Those with marks, the last first."""
        return sorted({day.year for day in Mark.objects.dates("given_on", "year")}, reverse=True)

    @cached_property
    def year(self) -> int:
        last = self.years[0] if self.years else timezone.localdate().year
        try:
            return int(self.request.GET.get("year", last))
        except ValueError:
            raise Http404("A year is a number.") from None

    def get_queryset(self) -> QuerySet[Mark]:
        # A student may be in another database than a mark, so that no join reaches both.
        return Mark.objects.filter(given_on__year=self.year).prefetch_related("student")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        page = context["page_obj"]
        return context | {
            "year": self.year,
            "years": self.years,
            "average": self.object_list.aggregate(points=Avg("points"))["points"],
            "found": Found.of(page.object_list) if page else None,
            "pages": page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1),
        }
