from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tasks_app', '0006_what_came_from_which_source'),
    ]

    operations = [
        migrations.AddField(
            model_name='collectionitem',
            name='losses',
            field=models.PositiveSmallIntegerField(db_default=0, editable=False, verbose_name='lost workers'),
        ),
        migrations.AddConstraint(
            model_name='collectionitem',
            constraint=models.UniqueConstraint(condition=models.Q(('losses__gt', 0), ('state', 'claimed')), fields=('task', 'lane'), name='one_suspect_per_lane'),
        ),
    ]
