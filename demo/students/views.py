from typing import Any

from django.contrib.messages.views import SuccessMessageMixin
from django.db.models import QuerySet
from django.urls import reverse_lazy
from django.views.generic import CreateView, ListView, UpdateView

from .forms import StudentForm
from .models import Student


class StudentList(ListView):
    model = Student
    paginate_by = 25

    @property
    def search(self) -> str:
        return self.request.GET.get("q", "").strip()

    def get_queryset(self) -> QuerySet[Student]:
        return Student.objects.search(self.search)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        page = context["page_obj"]
        pages = page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
        return context | {"search": self.search, "pages": pages}


class StudentFormMixin(SuccessMessageMixin):
    model = Student
    form_class = StudentForm
    success_url = reverse_lazy("students:list")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(programmes=Student.objects.programmes(), **kwargs)


class StudentAdd(StudentFormMixin, CreateView):
    success_message = "%(first_name)s %(last_name)s was added."


class StudentEdit(StudentFormMixin, UpdateView):
    success_message = "%(first_name)s %(last_name)s was saved."
