"""The tables. Every row that more than one writer may touch carries a `version`; see `docs/states.md` for the states.

Values inside JSON columns are the frozen dataclasses of the layers, written and read by `store.codec`. Text has no
length, because only one of the two databases would keep it, and names compare by code point on both, because a
server's language must not decide an order.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

NAME = Text().with_variant(Text(collation="C"), "postgresql")
"""An identifier or a code, compared and sorted by code point."""
SECONDS = Float(53)
"""Seconds since the epoch; double precision, so that a Python float comes back as it went."""
SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column that is called INTEGER, which holds 64 bits there."""

applications = Table(
    "applications",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("removing", Boolean, nullable=False),
    Column("applied_at", SECONDS, nullable=False),
    Column("frozen", Text, nullable=False),
    Column("version", Integer, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("application", NAME, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("spec", Text, nullable=False),
)

services = Table(
    "services",
    metadata,
    Column("key", NAME, primary_key=True),
    Column("application", NAME, nullable=False),
    Column("name", NAME, nullable=False),
    Column("listen_port", Integer, nullable=False),
    Column("scaling", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("unplaced", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    UniqueConstraint("listen_port", name="services_listen_port"),
    Index("services_by_application", "application"),
)

instances = Table(
    "instances",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("application", NAME, nullable=False),
    Column("service", NAME, nullable=False),
    Column("host_id", NAME, nullable=False),
    Column("spec_revision", Integer, nullable=False),
    Column("state", NAME, nullable=False),
    Column("plan_id", NAME, nullable=False),
    Column("created_at", SECONDS, nullable=False),
    Column("cpu_millis", Integer, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("gate", Text, nullable=False),
    Column("not_before", SECONDS, nullable=False),
    Column("address", NAME, nullable=False),
    Column("port", Integer, nullable=False),
    Column("changed_at", SECONDS, nullable=False),
    Column("serving_at", SECONDS),
    Column("ended_at", SECONDS),
    Column("replaces", NAME, nullable=False),
    Column("leave_reason", NAME, nullable=False),
    Column("reason", NAME, nullable=False),
    Column("holds", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("stamp", BigInteger, nullable=False),
    Index("instances_by_stamp", "stamp"),
    Index("instances_by_service", "application", "service", "ended_at"),
    Index("instances_by_end", "ended_at"),
    Index("instances_by_host", "host_id", "ended_at"),
)

hosts = Table(
    "hosts",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("source", NAME, nullable=False),
    Column("kind", NAME, nullable=False),
    Column("host_type", Text, nullable=False),
    Column("state", NAME, nullable=False),
    Column("requested_at", SECONDS, nullable=False),
    Column("changed_at", SECONDS, nullable=False),
    Column("billed_from", SECONDS),
    Column("billed_until", SECONDS),
    Column("address", NAME, nullable=False),
    Column("engine", NAME, nullable=False),
    Column("reason", NAME, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", SECONDS, nullable=False),
    Column("cluster", NAME, nullable=False),
    Column("variant", NAME, nullable=False),
    Column("token", NAME, nullable=False),
    Column("leave_by", SECONDS),
    Column("claimed_by", NAME),
    Column("cluster_since", SECONDS),
    Column("version", Integer, nullable=False),
    Column("stamp", BigInteger, nullable=False),
    Index("hosts_by_stamp", "stamp"),
    Index("hosts_by_state", "state", "source"),
    Index("hosts_by_token", "token"),
)

host_spans = Table(
    "host_spans",
    metadata,
    Column("host_id", NAME, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("cluster", NAME, nullable=False),
    Column("source", NAME, nullable=False),
    Column("billing", NAME, nullable=False),
    Column("state", NAME, nullable=False),
    Column("price_nano_usd_per_hour", BigInteger, nullable=False),
    Column("minimum_ms", BigInteger, nullable=False),
    Column("anchor_ms", BigInteger, nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger),
    Column("first", Boolean, nullable=False),
    Column("cpu_millis", Integer, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Index("host_spans_by_begin", "from_ms"),
    Index("host_spans_by_end", "until_ms"),
)
"""Host time at one price; open and closed in the transaction that changes the host."""

costs = Table(
    "costs",
    metadata,
    Column("at_s", BigInteger, primary_key=True),
    Column("cluster", NAME, primary_key=True),
    Column("service", NAME, primary_key=True),
    Column("source", NAME, primary_key=True),
    Column("billing", NAME, primary_key=True),
    Column("state", NAME, primary_key=True),
    Column("charged_nano_usd", BigInteger, nullable=False),
    Column("amortised_nano_usd", BigInteger, nullable=False),
    Column("host_ms", BigInteger, nullable=False),
)
"""What host time cost, by the quarter of an hour that begins at `at_s`."""

refusals = Table(
    "refusals",
    metadata,
    Column("source", NAME, primary_key=True),
    Column("type_name", NAME, primary_key=True),
    Column("variant", NAME, primary_key=True),
    Column("kind", NAME, primary_key=True),
    Column("words", Text, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("until", SECONDS, nullable=False),
)
"""What sources refused lately; a newer refusal of the same replaces the older one."""

signals = Table(
    "signals",
    metadata,
    Column("service", NAME, primary_key=True),
    Column("name", NAME, primary_key=True),
    Column("at", SECONDS, primary_key=True),
    Column("value", Float(53)),
    Column("words", Text, nullable=False),
)
"""Figures that a metrics server gave, by the end of their window."""

surges = Table(
    "surges",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("application", NAME, nullable=False),
    Column("ends_at", SECONDS, nullable=False),
    Column("cancelled_at", SECONDS),
    Column("body", Text, nullable=False),
)
"""Planned surges, as they were asked for."""

rates = Table(
    "rates",
    metadata,
    Column("service", NAME, primary_key=True),
    Column("at", SECONDS, primary_key=True),
    Column("requests_per_s", Float, nullable=False),
)
"""What arrived at a service in each bucket that began at `at`; what forecasts are made of."""

forecasts = Table(
    "forecasts",
    metadata,
    Column("service", NAME, primary_key=True),
    Column("body", Text, nullable=False),
)
"""The last forecast of each service."""

learned_calls = Table(
    "learned_calls",
    metadata,
    Column("application", NAME, primary_key=True),
    Column("at", SECONDS, nullable=False),
    Column("body", Text, nullable=False),
)
"""Who calls whom how often, as the rates of an application say."""

capacity_tests = Table(
    "capacity_tests",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("application", NAME, nullable=False),
    Column("service", NAME, nullable=False),
    Column("outcome", NAME, nullable=False),
    Column("asked_at", SECONDS, nullable=False),
    Column("body", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Index("capacity_tests_by_service", "application", "service", "asked_at"),
)
"""Capacity tests and what they found."""

machines = Table(
    "machines",
    metadata,
    Column("address", NAME, primary_key=True),
    Column("ssh_user", NAME, nullable=False),
    Column("ssh_port", Integer, nullable=False),
    Column("ssh_key", NAME, nullable=False),
    Column("engine", NAME, nullable=False),
    Column("cluster", NAME, nullable=False),
    Column("host_type", Text, nullable=False),
    Column("identity", NAME, nullable=False),
    Column("added_at", SECONDS, nullable=False),
    Column("host_id", NAME, nullable=False),
    Column("back_at", SECONDS, nullable=False),
    Column("leave_by", SECONDS),
    Column("version", Integer, nullable=False),
)
"""Machines that people have added. `ssh_key`: a name in the settings or the path of a file, never a key itself."""

set_aside = Table(
    "set_aside",
    metadata,
    Column("source", NAME, primary_key=True),
    Column("address", NAME, primary_key=True),
    Column("at", SECONDS, nullable=False),
    Column("words", Text, nullable=False),
)
"""Machines of static sources that could not be initialised: not offered until a person says so."""

initialisations = Table(
    "initialisations",
    metadata,
    Column("host_id", NAME, primary_key=True),
    Column("state", NAME, nullable=False),
    Column("since", SECONDS, nullable=False),
    Column("phase", NAME, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", SECONDS, nullable=False),
    Column("words", Text, nullable=False),
    Column("version", Integer, nullable=False),
)

initialisation_logs = Table(
    "initialisation_logs",
    metadata,
    Column("host_id", NAME, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("at", SECONDS, nullable=False),
    Column("words", Text, nullable=False),
    Column("text", Text, nullable=False),
)
"""Of tries that failed: the end of what was said."""

addresses = Table(
    "addresses",
    metadata,
    Column("address", NAME, primary_key=True),
    Column("site", NAME, nullable=False),
    Column("instance_id", NAME, nullable=False),
    Column("given_at", SECONDS, nullable=False),
    UniqueConstraint("instance_id", name="addresses_instance_id"),
)

published = Table(
    "published",
    metadata,
    Column("service", NAME, primary_key=True),
    Column("modify_index", BigInteger, nullable=False),
    Column("last_cut_at", SECONDS, nullable=False),
    Column("allow_all", Boolean, nullable=False),
    Column("zombies", Integer, nullable=False),
)

published_entries = Table(
    "published_entries",
    metadata,
    Column("service", NAME, primary_key=True),
    Column("instance_id", NAME, primary_key=True),
    Column("address", NAME, nullable=False),
    Column("port", Integer, nullable=False),
    Column("site", NAME, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("application", NAME, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("body", Text, nullable=False),
    Index("plans_by_application", "application", "at"),
)

samples = Table(
    "samples",
    metadata,
    Column("service", NAME, primary_key=True),
    Column("at", SECONDS, primary_key=True),
    Column("sample", Text),
    Column("counters", Text),
    Index("samples_by_end", "at"),
)

image_tags = Table(
    "image_tags",
    metadata,
    Column("repository", NAME, primary_key=True),
    Column("tag", NAME, primary_key=True),
    Column("digest", NAME, nullable=False),
    Column("site", NAME, nullable=False),
    Column("pushed_at", SECONDS, nullable=False),
    Column("pushed_by", NAME, nullable=False),
    Column("acknowledged_at", SECONDS),
    Column("version", Integer, nullable=False),
)

image_copies = Table(
    "image_copies",
    metadata,
    Column("repository", NAME, primary_key=True),
    Column("tag", NAME, primary_key=True),
    Column("digest", NAME, primary_key=True),
    Column("site", NAME, primary_key=True),
    Column("state", NAME, nullable=False),
    Column("pushed_at", SECONDS, nullable=False),
    Column("since", SECONDS, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("moved_bytes", BigInteger, nullable=False),
    Column("there_bytes", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", SECONDS, nullable=False),
    Column("version", Integer, nullable=False),
    Index("image_copies_by_state", "state"),
    Index("image_copies_by_digest", "digest"),
)

image_uploads = Table(
    "image_uploads",
    metadata,
    Column("site", NAME, primary_key=True),
    Column("repository", NAME, primary_key=True),
    Column("digest", NAME, primary_key=True),
    Column("location", Text, nullable=False),
    Column("offset_bytes", BigInteger, nullable=False),
    Column("pending_bytes", BigInteger, nullable=False),
    Column("at", SECONDS, nullable=False),
)

image_manifests = Table(
    "image_manifests",
    metadata,
    Column("digest", NAME, primary_key=True),
    Column("media_type", NAME, nullable=False),
    Column("body", Text, nullable=False),
    Column("configuration", Text, nullable=False),
    Column("seen_at", SECONDS, nullable=False),
)

image_builds = Table(
    "image_builds",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("repository", NAME, nullable=False),
    Column("tag", NAME, nullable=False),
    Column("digest", NAME, nullable=False),
    Column("built_at", SECONDS, nullable=False),
    Column("record", Text, nullable=False),
    Column("log", Text, nullable=False),
    Index("image_builds_by_repository", "repository", "built_at"),
)

host_images = Table(
    "host_images",
    metadata,
    Column("host_id", NAME, primary_key=True),
    Column("image", NAME, primary_key=True),
    Column("state", NAME, nullable=False),
    Column("since", SECONDS, nullable=False),
    Column("wanted_at", SECONDS, nullable=False),
    Column("source", NAME, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", SECONDS, nullable=False),
    Column("reason", NAME, nullable=False),
    Column("words", Text, nullable=False),
    Column("moved_bytes", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Index("host_images_by_image", "image", "state"),
)

mirrors = Table(
    "mirrors",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("site", NAME, nullable=False),
    Column("host_id", NAME, nullable=False),
    Column("state", NAME, nullable=False),
    Column("since", SECONDS, nullable=False),
    Column("address", NAME, nullable=False),
    Column("port", Integer, nullable=False),
    Column("stripes", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", SECONDS, nullable=False),
    Column("reason", NAME, nullable=False),
    Column("version", Integer, nullable=False),
    Index("mirrors_by_site", "site", "state"),
)

leases = Table(
    "leases",
    metadata,
    Column("subject", NAME, primary_key=True),
    Column("owner", NAME, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", SECONDS, nullable=False),
    Index("leases_by_owner", "owner"),
)

controllers = Table(
    "controllers",
    metadata,
    Column("id", NAME, primary_key=True),
    Column("address", NAME, nullable=False),
    Column("started_at", SECONDS, nullable=False),
    Column("seen_at", SECONDS, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("at", SECONDS, nullable=False),
    Column("subject", NAME, nullable=False),
    Column("reason", NAME, nullable=False),
    Column("words", Text, nullable=False),
    Column("before", NAME, nullable=False),
    Column("after", NAME, nullable=False),
    Column("numbers", Text, nullable=False),
    Index("events_by_subject", "subject", "seq"),
    # A number is never given twice, also when the newest events were dropped: readers remember it.
    sqlite_autoincrement=True,
)

counters = Table(
    "counters",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("kind", NAME, nullable=False),
    Column("platform_admin", Boolean, nullable=False),
    Column("bound_to", NAME, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("created_at", SECONDS, nullable=False),
    Column("version", Integer, nullable=False),
)

projects = Table(
    "projects",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("public", Boolean, nullable=False),
    Column("created_at", SECONDS, nullable=False),
)

members = Table(
    "members",
    metadata,
    Column("project", NAME, primary_key=True),
    Column("account", NAME, primary_key=True),
    Column("role", NAME, nullable=False),
    Index("members_by_account", "account"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", NAME, primary_key=True),
    Column("certificate", Text, nullable=False),
    Column("sealed_key", Text, nullable=False),
    Column("made_at", SECONDS, nullable=False),
    Column("signs_from", SECONDS, nullable=False),
    Column("trusted_until", SECONDS),
)

image_pushes = Table(
    "image_pushes",
    metadata,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", NAME, nullable=False),
    Column("site", NAME, nullable=False),
    Column("repository", NAME, nullable=False),
    Column("tag", NAME, nullable=False),
    Column("digest", NAME, nullable=False),
    Column("actor", NAME, nullable=False),
    Column("action", NAME, nullable=False),
    Column("at", SECONDS, nullable=False),
    Column("media_type", NAME, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    UniqueConstraint("site", "id", name="image_pushes_once"),
    Index("image_pushes_by_repository", "repository", "seq"),
    Index("image_pushes_by_end", "at"),
    sqlite_autoincrement=True,
)

edge = Table(
    "edge",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("routes", Text, nullable=False),
    Column("stopped", Boolean, nullable=False),
)
"""One row: what all proxies are told together. `revision` rises with every change of routes or endpoints."""

edge_endpoints = Table(
    "edge_endpoints",
    metadata,
    Column("service", NAME, primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("endpoints", Text, nullable=False),
)

edge_proxies = Table(
    "edge_proxies",
    metadata,
    Column("node", NAME, primary_key=True),
    Column("counted", Boolean, nullable=False),
    Column("changed_at", SECONDS, nullable=False),
    Column("words", Text, nullable=False),
)
