from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("school", "0013_fees"),
    ]

    operations = [
        migrations.AddField(
            model_name="attendance",
            name="remark",
            field=models.TextField(blank=True, default=""),
        ),
        migrations.AddField(
            model_name="student",
            name="email",
            field=models.EmailField(blank=True, default="", max_length=254),
        ),
        migrations.AddField(
            model_name="teacher",
            name="hired",
            field=models.DateField(null=True),
        ),
    ]
