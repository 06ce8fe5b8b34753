from django.urls import path

from .views import Landing

app_name = "universities"
urlpatterns = [path("", Landing.as_view(), name="landing")]
