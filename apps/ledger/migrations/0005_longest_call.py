from django.db import migrations, models

A_WEEK = 604_800_000


def shorten(apps, _editor):
    """What sidecars said before there was a bound: such durations could not be added up."""
    apps.get_model("ledger", "Charge").objects.filter(duration_ms__gt=A_WEEK).update(duration_ms=A_WEEK)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_kept_allowances")]

    operations = [
        migrations.RunPython(shorten, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="charge",
            constraint=models.CheckConstraint(
                condition=models.Q(("duration_ms__lte", A_WEEK)), name="no_call_takes_more_than_a_week"
            ),
        ),
    ]
