from django.db import migrations, models


def keep_used_permits(apps, schema_editor):
    """Counts the permits of the current minute and hour as if all of them had just been used: none is over."""
    gates = apps.get_model("tasks_app", "SourceGate").objects.filter(next_at__isnull=False)
    for gate in gates:
        used = {"minute": gate.used_per_minute, "hour": gate.used_per_hour}
        gate.recent = {name: [[gate.next_at.timestamp(), count]] for name, count in used.items() if count}
        gate.save(update_fields=["recent"])


class Migration(migrations.Migration):

    dependencies = [
        ('tasks_app', '0024_read_indexes'),
    ]

    operations = [
        migrations.AddField(
            model_name='sourcegate',
            name='recent',
            field=models.JSONField(db_default={}, default=dict, editable=False, verbose_name='recent permits'),
        ),
        migrations.RunPython(keep_used_permits, migrations.RunPython.noop),
        migrations.RemoveField(
            model_name='sourcegate',
            name='used_per_hour',
        ),
        migrations.RemoveField(
            model_name='sourcegate',
            name='used_per_minute',
        ),
    ]
