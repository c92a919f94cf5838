"""The priority of a queued order is checked as a range, like those of tasks and plans.

Django's introspection of SQLite can't read a constraint with a list of negative numbers.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tasks_app", "0057_sessions_of_users")]
    operations = [
        migrations.RemoveConstraint(model_name="queuedorder", name="queued_order_priority_is_known"),
        migrations.AddConstraint(
            model_name="queuedorder",
            constraint=models.CheckConstraint(
                condition=models.Q(priority__gte=-1, priority__lte=1), name="queued_order_priority_is_known"
            ),
        ),
    ]
