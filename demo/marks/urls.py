from django.urls import path

from .views import MarkList

app_name = "marks"
urlpatterns = [path("marks/", MarkList.as_view(), name="list")]
