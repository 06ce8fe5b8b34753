"""Addresses inside a tenant."""

from django.contrib import admin
from django.urls import path

from tests.testproject.students.views import enrol, students, visit

urlpatterns = [
    path("admin/", admin.site.urls),
    path("students/", students),
    path("students/enrol/", enrol),
    path("students/visit/", visit),
]
