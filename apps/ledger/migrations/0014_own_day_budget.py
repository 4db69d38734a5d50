from django.db import migrations

A_DAY = 1_000_000
"""A fifth of the first budget of a day."""
TOKENS = 4_000_000
"""What ten attempts may use at most (AGENTCOM_ATTEMPT_TOKENS), also where they cost no money."""


def seed(apps, _editor):
    """What the hub wants of itself has a share of its own from the first day."""
    budgets = apps.get_model("ledger", "Budget").objects
    budgets.get_or_create(scope="own day", key="*", defaults={"limit_micro": A_DAY, "limit_tokens": TOKENS})


def remove(apps, _editor):
    """What came before has no such scope."""
    apps.get_model("ledger", "Budget").objects.filter(scope="own day").delete()


class Migration(migrations.Migration):
    dependencies = [("ledger", "0013_own_day")]

    operations = [migrations.RunPython(seed, remove)]
