from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("school", "0018_notices"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="attendance",
            index=models.Index(
                condition=models.Q(("present", False)), fields=["lesson"], name="attendance_missing"
            ),
        ),
        migrations.AddIndex(
            model_name="invoice",
            index=models.Index(fields=["student", "-issued"], name="invoice_newest"),
        ),
        migrations.AddIndex(
            model_name="lesson",
            index=models.Index(fields=["room", "begins"], name="lesson_room_begins"),
        ),
        migrations.AddIndex(
            model_name="student",
            index=models.Index(fields=["family_name", "first_name"], name="student_names"),
        ),
    ]
