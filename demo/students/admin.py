from django.contrib import admin
from django.http import HttpRequest

from .models import Student


@admin.register(Student)
class StudentAdmin(admin.ModelAdmin):
    list_display = ["registration_number", "last_name", "first_name", "programme", "year"]
    list_display_links = ["registration_number", "last_name"]
    list_filter = ["year", "programme"]
    search_fields = ["registration_number", "first_name", "last_name", "programme"]
    list_per_page = 50

    def has_delete_permission(self, request: HttpRequest, obj: Student | None = None) -> bool:
        return False  # Their marks, of whichever year, refer to them.
