from django.contrib import admin

from tests.testproject.students.models import Club, Course, Student

admin.site.register(Club)


@admin.register(Course)
class CourseAdmin(admin.ModelAdmin):
    search_fields = ["name"]
    ordering = ["name"]


@admin.register(Student)
class StudentAdmin(admin.ModelAdmin):
    list_display = ["registration", "name", "course"]
    search_fields = ["registration", "name"]
    autocomplete_fields = ["course"]
