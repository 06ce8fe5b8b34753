from django.db import migrations


def number(apps, schema_editor):
    for student in apps.get_model("school", "Student").objects.filter(number=""):
        student.number = f"S{student.pk:06}"
        student.save(update_fields=["number"])


class Migration(migrations.Migration):
    dependencies = [("school", "0015_money_checked")]

    operations = [migrations.RunPython(number, migrations.RunPython.noop)]
