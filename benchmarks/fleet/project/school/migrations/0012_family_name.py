from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("school", "0011_library"),
    ]

    operations = [
        migrations.RenameField(
            model_name="student",
            old_name="surname",
            new_name="family_name",
        ),
    ]
