import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("school", "0019_indexes"),
    ]

    operations = [
        migrations.RemoveField(
            model_name="activity",
            name="place",
        ),
        migrations.AlterField(
            model_name="loan",
            name="student",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, to="school.student"
            ),
        ),
        migrations.AlterField(
            model_name="loan",
            name="volume",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, to="school.volume"
            ),
        ),
        migrations.AlterField(
            model_name="notice",
            name="published",
            field=models.DateTimeField(db_index=True, null=True),
        ),
        migrations.AddConstraint(
            model_name="loan",
            constraint=models.UniqueConstraint(
                condition=models.Q(("returned", None)), fields=("volume",), name="volume_lent_once"
            ),
        ),
    ]
