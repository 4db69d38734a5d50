from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0012_state_budgets"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="budget",
            name="budget_scope_is_known",
        ),
        migrations.AlterField(
            model_name="budget",
            name="scope",
            field=models.CharField(
                choices=[
                    ("task", "task"),
                    ("goal", "goal"),
                    ("repo", "repo"),
                    ("agent", "agent"),
                    ("purpose", "purpose"),
                    ("state", "state"),
                    ("state hour", "state hour"),
                    ("state day", "state day"),
                    ("own day", "own day"),
                    ("hour", "hour"),
                    ("day", "day"),
                    ("month", "month"),
                    ("hub", "hub"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "scope__in",
                        [
                            "task",
                            "goal",
                            "repo",
                            "agent",
                            "purpose",
                            "state",
                            "state hour",
                            "state day",
                            "own day",
                            "hour",
                            "day",
                            "month",
                            "hub",
                        ],
                    )
                ),
                name="budget_scope_is_known",
            ),
        ),
    ]
