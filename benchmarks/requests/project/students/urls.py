from django.urls import path

from students import views

urlpatterns = [
    path("wsgi/no/", views.no),
    path("wsgi/one/", views.one),
    path("wsgi/ten/", views.ten),
    path("asgi/no/", views.async_no),
    path("asgi/one/", views.async_one),
    path("asgi/ten/", views.async_ten),
]
