from django.http import HttpRequest, JsonResponse

from tests.testproject.students.models import Student


def students(request: HttpRequest) -> JsonResponse:
    rows = Student.objects.order_by("registration").values("registration", "name", "home")
    return JsonResponse({"students": list(rows)})
