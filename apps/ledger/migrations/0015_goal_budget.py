from django.db import migrations

A_GOAL = 2_500_000
"""Half of the first budget of a day."""
TOKENS = 10_000_000
"""What 25 attempts may use at most (AGENTCOM_ATTEMPT_TOKENS), also where they cost no money."""


def seed(apps, _editor):
    """What one goal may cost is bounded from the first day; an operator who has said otherwise is not overruled."""
    budgets = apps.get_model("ledger", "Budget").objects
    if not budgets.filter(scope="goal").exists():
        budgets.create(scope="goal", key="*", limit_micro=A_GOAL, limit_tokens=TOKENS)


def remove(apps, _editor):
    """The row as it was made; one that was changed stays."""
    made = {"scope": "goal", "key": "*", "limit_micro": A_GOAL, "limit_tokens": TOKENS}
    apps.get_model("ledger", "Budget").objects.filter(**made).delete()


class Migration(migrations.Migration):
    dependencies = [("ledger", "0014_own_day_budget")]

    operations = [migrations.RunPython(seed, remove)]
