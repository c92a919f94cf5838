import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


VERBS = {1: "created", 2: "changed", 3: "deleted"}
BATCH = 500


def move_log(apps, schema_editor):
    """Django's log of the staff pages becomes part of the record: it would go with a deleted user."""
    log, event = apps.get_model("admin", "LogEntry"), apps.get_model("tasks_app", "AuditEvent")
    rows = log.objects.select_related("user", "content_type").order_by("pk")
    while batch := list(rows[:BATCH]):
        event.objects.bulk_create(
            event(
                at=row.action_time,
                subject=row.content_type.model[:40] if row.content_type else "",
                verb=VERBS[row.action_flag],
                user=row.user,
                user_name=row.user.username,
                channel="admin",
                object_id=(row.object_id or "")[:255],
                object_name=row.object_repr,
                detail=row.change_message,
            )
            for row in batch
        )
        log.objects.filter(pk__in=[row.pk for row in batch]).delete()


class Migration(migrations.Migration):

    dependencies = [
        ('tasks_app', '0051_runs_from_last_tasks'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name='at')),
                ('subject', models.CharField(max_length=40, verbose_name='what')),
                ('verb', models.CharField(choices=[('created', 'created'), ('changed', 'changed'), ('deleted', 'deleted'), ('signed_in', 'signed in'), ('sign_in_failed', 'sign-in failed'), ('locked_out', 'locked out'), ('signed_out', 'signed out'), ('cancelled', 'cancelled')], max_length=14, verbose_name='event')),
                ('user_name', models.CharField(blank=True, max_length=150, verbose_name='user name')),
                ('channel', models.CharField(choices=[('api', 'API'), ('admin', 'admin'), ('command', 'command'), ('schedule', 'schedule'), ('worker', 'worker')], max_length=10, verbose_name='channel')),
                ('address', models.CharField(blank=True, max_length=45, verbose_name='address')),
                ('object_id', models.CharField(blank=True, max_length=255, verbose_name='object')),
                ('object_name', models.CharField(blank=True, max_length=200, verbose_name='name')),
                ('detail', models.TextField(blank=True, verbose_name='detail')),
            ],
            options={
                'verbose_name': 'audit event',
                'verbose_name_plural': 'audit events',
                'permissions': [('export_audit', 'Can export the audit record')],
                'default_permissions': ('view',),
            },
        ),
        migrations.AddIndex(
            model_name='planevent',
            index=models.Index(fields=['-at', '-id'], name='plan_events_by_time'),
        ),
        migrations.AddIndex(
            model_name='taskevent',
            index=models.Index(fields=['user_name', '-at', '-id'], name='events_by_user'),
        ),
        migrations.AddField(
            model_name='auditevent',
            name='user',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['-at', '-id'], name='audit_by_time'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['user_name', '-at', '-id'], name='audit_by_user'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['subject', '-at', '-id'], name='audit_by_subject'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['subject', 'user_name', '-at', '-id'], name='audit_by_subject_and_user'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['verb', '-at', '-id'], name='audit_by_verb'),
        ),
        migrations.RunPython(move_log, migrations.RunPython.noop, elidable=True),
    ]
