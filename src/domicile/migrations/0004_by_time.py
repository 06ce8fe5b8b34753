from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("domicile", "0003_databases"),
    ]

    operations = [
        migrations.AddField(
            model_name="migrationrunhome",
            name="by_time",
            field=models.PositiveIntegerField(default=0, verbose_name="by time"),
        ),
    ]
