from django.urls import path

from . import views

app_name = "students"
urlpatterns = [
    path("", views.StudentList.as_view(), name="list"),
    path("students/add/", views.StudentAdd.as_view(), name="add"),
    path("students/<int:pk>/", views.StudentEdit.as_view(), name="edit"),
]
