from django.db import migrations, models
from django.db.models import Count, F, Sum


def fill(apps, schema_editor):
    """Tasks with fallbacks that ended before they carried it."""
    Task, Item = (apps.get_model("tasks_app", name) for name in ("CollectionTask", "CollectionItem"))
    ended = Task.objects.exclude(status="running").exclude(fallbacks=[])
    bars = Sum(F("rows_collected") + F("rows_corrected"))
    for pk in list(ended.values_list("pk", flat=True)):
        done = Item.objects.filter(task_id=pk, state="succeeded").exclude(source="")
        counted = done.values_list("source").annotate(stocks=Count("pk"), bars=bars)
        shares = {source: {"stocks": stocks, "bars": bars} for source, stocks, bars in counted}
        Task.objects.filter(pk=pk).update(shares=shares)


class Migration(migrations.Migration):

    dependencies = [
        ('tasks_app', '0005_what_outlives_a_pruned_task'),
    ]

    operations = [
        migrations.AddField(
            model_name='collectiontask',
            name='shares',
            field=models.JSONField(editable=False, null=True),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
