from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("school", "0014_contacts"),
    ]

    operations = [
        migrations.AlterField(
            model_name="payment",
            name="amount",
            field=models.DecimalField(decimal_places=2, max_digits=12),
        ),
        migrations.AddConstraint(
            model_name="examresult",
            constraint=models.UniqueConstraint(fields=("exam", "student"), name="result_once"),
        ),
        migrations.AddConstraint(
            model_name="examresult",
            constraint=models.CheckConstraint(
                condition=models.Q(("points__gte", 0)), name="result_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="payment_positive"
            ),
        ),
    ]
