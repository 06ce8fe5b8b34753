"""The pages that are no university's."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("universities.urls")),
    path("", include("users.urls")),
]
