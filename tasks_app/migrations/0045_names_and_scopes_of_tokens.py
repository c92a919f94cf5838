import django.db.models.deletion
from django.db import migrations, models


def keep_as_operate(apps, schema_editor):
    """Tokens that exist may go on doing whatever their users may."""
    token, details = apps.get_model("knox", "AuthToken"), apps.get_model("tasks_app", "ApiToken")
    digests = token.objects.values_list("pk", flat=True).iterator(chunk_size=1000)
    details.objects.bulk_create(
        (details(token_id=digest, scope="operate") for digest in digests), batch_size=500
    )


class Migration(migrations.Migration):
    dependencies = [
        ("knox", "0009_extend_authtoken_field"),
        ("tasks_app", "0044_targets"),
    ]

    operations = [
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                (
                    "token",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="details",
                        serialize=False,
                        swappable=False,
                        to="knox.authtoken",
                        verbose_name="API token",
                    ),
                ),
                ("name", models.CharField(blank=True, default="", max_length=64, verbose_name="name")),
                (
                    "scope",
                    models.CharField(
                        choices=[("read", "read"), ("operate", "operate")],
                        default="read",
                        max_length=7,
                        verbose_name="scope",
                    ),
                ),
                (
                    "last_used_at",
                    models.DateTimeField(editable=False, null=True, verbose_name="last used at"),
                ),
            ],
            options={
                "verbose_name": "API token",
                "verbose_name_plural": "API tokens",
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("scope__in", ["read", "operate"])), name="token_scope_is_known"
                    )
                ],
            },
        ),
        migrations.RunPython(keep_as_operate, migrations.RunPython.noop, elidable=True),
    ]
