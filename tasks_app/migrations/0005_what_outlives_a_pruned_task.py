import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tasks_app', '0004_drop_prefix_indexes'),
    ]

    operations = [
        migrations.AlterField(
            model_name='collectionplan',
            name='last_task',
            field=models.ForeignKey(db_constraint=False, editable=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='tasks_app.collectiontask', verbose_name='last task'),
        ),
        migrations.AlterField(
            model_name='collectiontask',
            name='retry_of',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='retries', to='tasks_app.collectiontask', verbose_name='retry of'),
        ),
        migrations.AlterField(
            model_name='correction',
            name='item',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='corrections', to='tasks_app.collectionitem', verbose_name='item'),
        ),
        migrations.AlterField(
            model_name='executionslot',
            name='task',
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='tasks_app.collectiontask'),
        ),
        migrations.AlterField(
            model_name='finding',
            name='item',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='findings', to='tasks_app.collectionitem', verbose_name='item'),
        ),
    ]
