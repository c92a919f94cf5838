from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('tasks_app', '0034_history_of_sources'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='dailybar',
            options={'permissions': [('bulk_read', 'Can read bars in bulk')], 'verbose_name': 'daily bar', 'verbose_name_plural': 'daily bars'},
        ),
    ]
