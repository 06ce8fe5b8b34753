"""Addresses inside a tenant."""

from django.contrib import admin
from django.urls import path

from tests.testproject.students.views import students

urlpatterns = [
    path("admin/", admin.site.urls),
    path("students/", students),
]
