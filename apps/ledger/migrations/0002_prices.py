from django.db import migrations

from apps.ledger import prices


def load(apps, _):
    """Later data is loaded by a later migration; rows that are there already are left as they are."""
    prices.load(apps.get_model("ledger", "Price"))


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]

    operations = [migrations.RunPython(load, migrations.RunPython.noop, elidable=False)]
