from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("school", "0004_classes"),
    ]

    operations = [
        migrations.AddField(
            model_name="student",
            name="guardians",
            field=models.ManyToManyField(to="school.guardian"),
        ),
        migrations.AddField(
            model_name="teacher",
            name="subjects",
            field=models.ManyToManyField(to="school.subject"),
        ),
    ]
