from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("domicile", "0002_records"),
    ]

    operations = [
        migrations.CreateModel(
            name="AddedDatabase",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("alias", models.CharField(max_length=63, unique=True, verbose_name="alias")),
                ("settings", models.JSONField(default=dict, verbose_name="settings")),
                ("added_at", models.DateTimeField(auto_now_add=True, verbose_name="added")),
            ],
            options={"verbose_name": "added database"},
        ),
    ]
