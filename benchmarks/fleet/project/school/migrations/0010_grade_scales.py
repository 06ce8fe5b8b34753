from django.db import migrations

MARKS = {"A": 85, "B": 70, "C": 60, "D": 50, "F": 0}


def fill(apps, schema_editor):
    scale = apps.get_model("school", "GradeScale").objects.create(name="Letters", passing=50)
    grade = apps.get_model("school", "Grade")
    grade.objects.bulk_create(
        [grade(scale=scale, mark=mark, at_least=points) for mark, points in MARKS.items()]
    )


class Migration(migrations.Migration):
    dependencies = [("school", "0009_exams")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
