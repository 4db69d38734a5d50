from django.db import migrations

A_DAY = 5_000_000


def seed(apps, _editor):
    """Nobody's first key pays for a runaway: five dollars each day, until an operator says otherwise."""
    budgets = apps.get_model("ledger", "Budget").objects
    budgets.get_or_create(scope="day", key="*", defaults={"limit_micro": A_DAY})


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_prices")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
