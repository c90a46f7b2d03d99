"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SECONDS = sa.Float(53)


def upgrade() -> None:
    """Make every table."""
    _applications()
    _instances()
    _hosts()
    _ahead()
    _machines()
    _found()
    _costs()
    _history()
    _coordination()
    _access()
    _edge()
    _images()
    _warming()
    _image_content()


def _applications() -> None:
    op.create_table(
        "applications",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("removing", sa.Boolean, nullable=False),
        sa.Column("applied_at", SECONDS, nullable=False),
        sa.Column("frozen", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "revisions",
        sa.Column("application", NAME, primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True),
        sa.Column("spec", sa.Text, nullable=False),
    )
    op.create_table(
        "services",
        sa.Column("key", NAME, primary_key=True),
        sa.Column("application", NAME, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("listen_port", sa.Integer, nullable=False),
        sa.Column("scaling", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("unplaced", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.UniqueConstraint("listen_port", name="services_listen_port"),
    )
    op.create_index("services_by_application", "services", ["application"])


def _instances() -> None:
    op.create_table(
        "instances",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("application", NAME, nullable=False),
        sa.Column("service", NAME, nullable=False),
        sa.Column("host_id", NAME, nullable=False),
        sa.Column("spec_revision", sa.Integer, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("plan_id", NAME, nullable=False),
        sa.Column("created_at", SECONDS, nullable=False),
        sa.Column("cpu_millis", sa.Integer, nullable=False),
        sa.Column("memory_bytes", sa.BigInteger, nullable=False),
        sa.Column("gate", sa.Text, nullable=False),
        sa.Column("not_before", SECONDS, nullable=False),
        sa.Column("address", NAME, nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("changed_at", SECONDS, nullable=False),
        sa.Column("serving_at", SECONDS),
        sa.Column("ended_at", SECONDS),
        sa.Column("replaces", NAME, nullable=False),
        sa.Column("leave_reason", NAME, nullable=False),
        sa.Column("reason", NAME, nullable=False),
        sa.Column("holds", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("stamp", sa.BigInteger, nullable=False),
    )
    op.create_index("instances_by_stamp", "instances", ["stamp"])
    op.create_index("instances_by_service", "instances", ["application", "service", "ended_at"])
    op.create_index("instances_by_end", "instances", ["ended_at"])
    op.create_index("instances_by_host", "instances", ["host_id", "ended_at"])


def _hosts() -> None:
    op.create_table(
        "hosts",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("source", NAME, nullable=False),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("host_type", sa.Text, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("requested_at", SECONDS, nullable=False),
        sa.Column("changed_at", SECONDS, nullable=False),
        sa.Column("billed_from", SECONDS),
        sa.Column("billed_until", SECONDS),
        sa.Column("address", NAME, nullable=False),
        sa.Column("engine", NAME, nullable=False),
        sa.Column("reason", NAME, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", SECONDS, nullable=False),
        sa.Column("cluster", NAME, nullable=False),
        sa.Column("variant", NAME, nullable=False),
        sa.Column("token", NAME, nullable=False),
        sa.Column("leave_by", SECONDS),
        sa.Column("claimed_by", NAME),
        sa.Column("cluster_since", SECONDS),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("stamp", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "refusals",
        sa.Column("source", NAME, primary_key=True),
        sa.Column("type_name", NAME, primary_key=True),
        sa.Column("variant", NAME, primary_key=True),
        sa.Column("kind", NAME, primary_key=True),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("at", SECONDS, nullable=False),
        sa.Column("until", SECONDS, nullable=False),
    )
    op.create_table(
        "signals",
        sa.Column("service", NAME, primary_key=True),
        sa.Column("name", NAME, primary_key=True),
        sa.Column("at", SECONDS, primary_key=True),
        sa.Column("value", sa.Float(53)),
        sa.Column("words", sa.Text, nullable=False),
    )
    op.create_table(
        "set_aside",
        sa.Column("source", NAME, primary_key=True),
        sa.Column("address", NAME, primary_key=True),
        sa.Column("at", SECONDS, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
    )
    op.create_index("hosts_by_stamp", "hosts", ["stamp"])
    op.create_index("hosts_by_state", "hosts", ["state", "source"])
    op.create_index("hosts_by_token", "hosts", ["token"])


def _ahead() -> None:
    op.create_table(
        "surges",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("application", NAME, nullable=False),
        sa.Column("ends_at", SECONDS, nullable=False),
        sa.Column("cancelled_at", SECONDS),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "rates",
        sa.Column("service", NAME, primary_key=True),
        sa.Column("at", SECONDS, primary_key=True),
        sa.Column("requests_per_s", sa.Float, nullable=False),
    )
    op.create_table(
        "forecasts",
        sa.Column("service", NAME, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "learned_calls",
        sa.Column("application", NAME, primary_key=True),
        sa.Column("at", SECONDS, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "capacity_tests",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("application", NAME, nullable=False),
        sa.Column("service", NAME, nullable=False),
        sa.Column("outcome", NAME, nullable=False),
        sa.Column("asked_at", SECONDS, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("capacity_tests_by_service", "capacity_tests", ["application", "service", "asked_at"])


def _machines() -> None:
    op.create_table(
        "machines",
        sa.Column("address", NAME, primary_key=True),
        sa.Column("ssh_user", NAME, nullable=False),
        sa.Column("ssh_port", sa.Integer, nullable=False),
        sa.Column("ssh_key", NAME, nullable=False),
        sa.Column("engine", NAME, nullable=False),
        sa.Column("cluster", NAME, nullable=False),
        sa.Column("host_type", sa.Text, nullable=False),
        sa.Column("identity", NAME, nullable=False),
        sa.Column("added_at", SECONDS, nullable=False),
        sa.Column("host_id", NAME, nullable=False),
        sa.Column("back_at", SECONDS, nullable=False),
        sa.Column("leave_by", SECONDS),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "initialisations",
        sa.Column("host_id", NAME, primary_key=True),
        sa.Column("state", NAME, nullable=False),
        sa.Column("since", SECONDS, nullable=False),
        sa.Column("phase", NAME, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", SECONDS, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "initialisation_logs",
        sa.Column("host_id", NAME, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("at", SECONDS, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )


def _found() -> None:
    op.create_table(
        "addresses",
        sa.Column("address", NAME, primary_key=True),
        sa.Column("site", NAME, nullable=False),
        sa.Column("instance_id", NAME, nullable=False),
        sa.Column("given_at", SECONDS, nullable=False),
        sa.UniqueConstraint("instance_id", name="addresses_instance_id"),
    )
    op.create_table(
        "published",
        sa.Column("service", NAME, primary_key=True),
        sa.Column("modify_index", sa.BigInteger, nullable=False),
        sa.Column("last_cut_at", SECONDS, nullable=False),
        sa.Column("allow_all", sa.Boolean, nullable=False),
        sa.Column("zombies", sa.Integer, nullable=False),
    )
    op.create_table(
        "published_entries",
        sa.Column("service", NAME, primary_key=True),
        sa.Column("instance_id", NAME, primary_key=True),
        sa.Column("address", NAME, nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("site", NAME, nullable=False),
    )


def _costs() -> None:
    op.create_table(
        "host_spans",
        sa.Column("host_id", NAME, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("cluster", NAME, nullable=False),
        sa.Column("source", NAME, nullable=False),
        sa.Column("billing", NAME, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("price_nano_usd_per_hour", sa.BigInteger, nullable=False),
        sa.Column("minimum_ms", sa.BigInteger, nullable=False),
        sa.Column("anchor_ms", sa.BigInteger, nullable=False),
        sa.Column("from_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger),
        sa.Column("first", sa.Boolean, nullable=False),
        sa.Column("cpu_millis", sa.Integer, nullable=False),
        sa.Column("memory_bytes", sa.BigInteger, nullable=False),
    )
    op.create_index("host_spans_by_begin", "host_spans", ["from_ms"])
    op.create_index("host_spans_by_end", "host_spans", ["until_ms"])
    op.create_table(
        "costs",
        sa.Column("at_s", sa.BigInteger, primary_key=True),
        sa.Column("cluster", NAME, primary_key=True),
        sa.Column("service", NAME, primary_key=True),
        sa.Column("source", NAME, primary_key=True),
        sa.Column("billing", NAME, primary_key=True),
        sa.Column("state", NAME, primary_key=True),
        sa.Column("charged_nano_usd", sa.BigInteger, nullable=False),
        sa.Column("amortised_nano_usd", sa.BigInteger, nullable=False),
        sa.Column("host_ms", sa.BigInteger, nullable=False),
    )


def _history() -> None:
    op.create_table(
        "plans",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("application", NAME, nullable=False),
        sa.Column("at", SECONDS, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("plans_by_application", "plans", ["application", "at"])
    op.create_table(
        "samples",
        sa.Column("service", NAME, primary_key=True),
        sa.Column("at", SECONDS, primary_key=True),
        sa.Column("sample", sa.Text),
        sa.Column("counters", sa.Text),
    )
    op.create_index("samples_by_end", "samples", ["at"])
    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("at", SECONDS, nullable=False),
        sa.Column("subject", NAME, nullable=False),
        sa.Column("reason", NAME, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("before", NAME, nullable=False),
        sa.Column("after", NAME, nullable=False),
        sa.Column("numbers", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_by_subject", "events", ["subject", "seq"])


def _coordination() -> None:
    op.create_table(
        "leases",
        sa.Column("subject", NAME, primary_key=True),
        sa.Column("owner", NAME, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("expires_at", SECONDS, nullable=False),
    )
    op.create_index("leases_by_owner", "leases", ["owner"])
    op.create_table(
        "controllers",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("address", NAME, nullable=False),
        sa.Column("started_at", SECONDS, nullable=False),
        sa.Column("seen_at", SECONDS, nullable=False),
    )
    op.create_table(
        "counters",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )


def _access() -> None:
    op.create_table(
        "accounts",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("platform_admin", sa.Boolean, nullable=False),
        sa.Column("bound_to", NAME, nullable=False),
        sa.Column("secret_hash", sa.Text, nullable=False),
        sa.Column("created_at", SECONDS, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "projects",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("public", sa.Boolean, nullable=False),
        sa.Column("created_at", SECONDS, nullable=False),
    )
    op.create_table(
        "members",
        sa.Column("project", NAME, primary_key=True),
        sa.Column("account", NAME, primary_key=True),
        sa.Column("role", NAME, nullable=False),
    )
    op.create_index("members_by_account", "members", ["account"])
    op.create_table(
        "signing_keys",
        sa.Column("kid", NAME, primary_key=True),
        sa.Column("certificate", sa.Text, nullable=False),
        sa.Column("sealed_key", sa.Text, nullable=False),
        sa.Column("made_at", SECONDS, nullable=False),
        sa.Column("signs_from", SECONDS, nullable=False),
        sa.Column("trusted_until", SECONDS),
    )
    op.create_table(
        "image_pushes",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", NAME, nullable=False),
        sa.Column("site", NAME, nullable=False),
        sa.Column("repository", NAME, nullable=False),
        sa.Column("tag", NAME, nullable=False),
        sa.Column("digest", NAME, nullable=False),
        sa.Column("actor", NAME, nullable=False),
        sa.Column("action", NAME, nullable=False),
        sa.Column("at", SECONDS, nullable=False),
        sa.Column("media_type", NAME, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("site", "id", name="image_pushes_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("image_pushes_by_repository", "image_pushes", ["repository", "seq"])
    op.create_index("image_pushes_by_end", "image_pushes", ["at"])


def _images() -> None:
    op.create_table(
        "image_tags",
        sa.Column("repository", NAME, primary_key=True),
        sa.Column("tag", NAME, primary_key=True),
        sa.Column("digest", NAME, nullable=False),
        sa.Column("site", NAME, nullable=False),
        sa.Column("pushed_at", SECONDS, nullable=False),
        sa.Column("pushed_by", NAME, nullable=False),
        sa.Column("acknowledged_at", SECONDS),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_table(
        "image_copies",
        sa.Column("repository", NAME, primary_key=True),
        sa.Column("tag", NAME, primary_key=True),
        sa.Column("digest", NAME, primary_key=True),
        sa.Column("site", NAME, primary_key=True),
        sa.Column("state", NAME, nullable=False),
        sa.Column("pushed_at", SECONDS, nullable=False),
        sa.Column("since", SECONDS, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("moved_bytes", sa.BigInteger, nullable=False),
        sa.Column("there_bytes", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", SECONDS, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("image_copies_by_state", "image_copies", ["state"])
    op.create_index("image_copies_by_digest", "image_copies", ["digest"])


def _image_content() -> None:
    op.create_table(
        "image_uploads",
        sa.Column("site", NAME, primary_key=True),
        sa.Column("repository", NAME, primary_key=True),
        sa.Column("digest", NAME, primary_key=True),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("offset_bytes", sa.BigInteger, nullable=False),
        sa.Column("pending_bytes", sa.BigInteger, nullable=False),
        sa.Column("at", SECONDS, nullable=False),
    )
    op.create_table(
        "image_manifests",
        sa.Column("digest", NAME, primary_key=True),
        sa.Column("media_type", NAME, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("configuration", sa.Text, nullable=False),
        sa.Column("seen_at", SECONDS, nullable=False),
    )
    op.create_table(
        "image_builds",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("repository", NAME, nullable=False),
        sa.Column("tag", NAME, nullable=False),
        sa.Column("digest", NAME, nullable=False),
        sa.Column("built_at", SECONDS, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("log", sa.Text, nullable=False),
    )
    op.create_index("image_builds_by_repository", "image_builds", ["repository", "built_at"])


def _edge() -> None:
    op.create_table(
        "edge",
        sa.Column("name", NAME, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("routes", sa.Text, nullable=False),
        sa.Column("stopped", sa.Boolean, nullable=False),
    )
    op.create_table(
        "edge_endpoints",
        sa.Column("service", NAME, primary_key=True),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("endpoints", sa.Text, nullable=False),
    )
    op.create_table(
        "edge_proxies",
        sa.Column("node", NAME, primary_key=True),
        sa.Column("counted", sa.Boolean, nullable=False),
        sa.Column("changed_at", SECONDS, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
    )


def _warming() -> None:
    op.create_table(
        "host_images",
        sa.Column("host_id", NAME, primary_key=True),
        sa.Column("image", NAME, primary_key=True),
        sa.Column("state", NAME, nullable=False),
        sa.Column("since", SECONDS, nullable=False),
        sa.Column("wanted_at", SECONDS, nullable=False),
        sa.Column("source", NAME, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", SECONDS, nullable=False),
        sa.Column("reason", NAME, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("moved_bytes", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("host_images_by_image", "host_images", ["image", "state"])
    op.create_table(
        "mirrors",
        sa.Column("id", NAME, primary_key=True),
        sa.Column("site", NAME, nullable=False),
        sa.Column("host_id", NAME, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("since", SECONDS, nullable=False),
        sa.Column("address", NAME, nullable=False),
        sa.Column("port", sa.Integer, nullable=False),
        sa.Column("stripes", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", SECONDS, nullable=False),
        sa.Column("reason", NAME, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("mirrors_by_site", "mirrors", ["site", "state"])
