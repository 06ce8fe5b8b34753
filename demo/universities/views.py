from typing import Any

from django.views.generic import ListView

from students.models import Student

from .addresses import home_page
from .models import University


class Landing(ListView):
    queryset = University.objects.visible()
    template_name = "universities/landing.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return context | {"universities": [self.describe(u) for u in context["object_list"]]}

    def describe(self, university: University) -> dict[str, Any]:
        with university.activate():
            students = Student.objects.count()
        return {
            "university": university,
            "address": home_page(self.request, university),
            "path": f"/t/{university.slug}/",
            "students": students,
        }
