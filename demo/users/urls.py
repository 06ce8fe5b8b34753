from django.urls import path

from .views import People, PersonPage

app_name = "users"
urlpatterns = [
    path("people/", People.as_view(), name="people"),
    path("people/<slug:handle>/", PersonPage.as_view(), name="person"),
]
