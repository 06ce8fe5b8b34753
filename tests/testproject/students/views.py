from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST

from tests.testproject.students.models import Student


def students(request: HttpRequest) -> JsonResponse:
    rows = Student.objects.order_by("registration").values("registration", "name", "home")
    return JsonResponse({"students": list(rows)})


@require_POST
def enrol(request: HttpRequest) -> JsonResponse:
    registration = request.POST["registration"]
    student = Student.objects.create(registration=registration, name=registration, home="acme")
    return JsonResponse({"registration": student.registration}, status=201)


def visit(request: HttpRequest) -> JsonResponse:
    """Touches no database; the session is saved once the view is done."""
    request.session["visited"] = True
    return JsonResponse({})
