from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("school", "0016_student_numbers"),
    ]

    operations = [
        migrations.AlterField(
            model_name="student",
            name="number",
            field=models.CharField(max_length=20, unique=True),
        ),
        migrations.AlterField(
            model_name="subject",
            name="name",
            field=models.CharField(db_index=True, max_length=100),
        ),
        migrations.AlterUniqueTogether(
            name="schoolclass",
            unique_together={("name", "term")},
        ),
    ]
