import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Other indexes begin with these columns: `one_item_per_code`, `one_lane_per_number` and
    `one_task_per_idempotency_key` find the rows as well, and every write has one index less to keep."""

    dependencies = [
        ('tasks_app', '0003_plans'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='collectionitem',
            name='task',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='items', to='tasks_app.collectiontask', verbose_name='task'),
        ),
        migrations.AlterField(
            model_name='collectionlane',
            name='task',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='lanes', to='tasks_app.collectiontask', verbose_name='task'),
        ),
        migrations.AlterField(
            model_name='collectiontask',
            name='created_by',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='started by'),
        ),
    ]
