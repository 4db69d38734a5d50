from django.db import migrations

CALLS = {"executing": (20, 100), "improving": (10, 40), "contemplating": (5, 15), "healing": (5, 20)}
"""The hub's own calls of models in an hour and in a day, by its state."""


def seed(apps, _editor):
    """What the hub thinks by itself is bounded from the first day; an operator who has said otherwise is not overruled."""
    budgets = apps.get_model("ledger", "Budget").objects
    for number, scope in enumerate(["state hour", "state day"]):
        if not budgets.filter(scope=scope).exists():
            rows = [budgets.model(scope=scope, key=f"{state} *", limit_calls=CALLS[state][number]) for state in CALLS]
            budgets.bulk_create(rows)


def remove(apps, _editor):
    """What came before has no such scopes."""
    apps.get_model("ledger", "Budget").objects.filter(scope__startswith="state").delete()


class Migration(migrations.Migration):
    dependencies = [("ledger", "0011_state")]

    operations = [migrations.RunPython(seed, remove)]
