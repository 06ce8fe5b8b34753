import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel(
            name="Reading",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                ("taken_at", models.DateTimeField(db_index=True)),
                ("value", models.IntegerField()),
            ],
        ),
    ]
