"""The tables. Every row that more than one writer may touch carries a `version`; see `docs/states.md` for the states.

Values inside JSON columns are the frozen dataclasses of the layers, written and read by `store.codec`.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

applications = Table(
    "applications",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("removing", Boolean, nullable=False),
    Column("applied_at", Float(53), nullable=False),
    Column("version", Integer, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("application", String(100), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("spec", Text, nullable=False),
)

services = Table(
    "services",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("application", String(100), nullable=False),
    Column("name", String(100), nullable=False),
    Column("listen_port", Integer, nullable=False, unique=True),
    Column("scaling", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("version", Integer, nullable=False),
)

instances = Table(
    "instances",
    metadata,
    Column("id", String(150), primary_key=True),
    Column("application", String(100), nullable=False),
    Column("service", String(100), nullable=False),
    Column("host_id", String(150), nullable=False),
    Column("spec_revision", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("plan_id", String(50), nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("cpu_millis", Integer, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("gate", Text, nullable=False),
    Column("not_before", Float(53), nullable=False),
    Column("address", String(100), nullable=False),
    Column("port", Integer, nullable=False),
    Column("changed_at", Float(53), nullable=False),
    Column("serving_at", Float(53)),
    Column("ended_at", Float(53)),
    Column("leave_reason", String(50), nullable=False),
    Column("reason", String(50), nullable=False),
    Column("version", Integer, nullable=False),
    Index("instances_by_service", "application", "service", "ended_at"),
    Index("instances_by_end", "ended_at"),
)

hosts = Table(
    "hosts",
    metadata,
    Column("id", String(150), primary_key=True),
    Column("source", String(100), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("host_type", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("requested_at", Float(53), nullable=False),
    Column("changed_at", Float(53), nullable=False),
    Column("billed_from", Float(53)),
    Column("billed_until", Float(53)),
    Column("address", String(100), nullable=False),
    Column("reason", String(50), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", Float(53), nullable=False),
    Column("version", Integer, nullable=False),
    Index("hosts_by_source", "source", "state"),
)

plans = Table(
    "plans",
    metadata,
    Column("id", String(50), primary_key=True),
    Column("application", String(100), nullable=False),
    Column("at", Float(53), nullable=False),
    Column("body", Text, nullable=False),
    Index("plans_by_application", "application", "at"),
)

samples = Table(
    "samples",
    metadata,
    Column("service", String(200), primary_key=True),
    Column("at", Float(53), primary_key=True),
    Column("sample", Text),
    Column("counters", Text),
)

leases = Table(
    "leases",
    metadata,
    Column("subject", String(250), primary_key=True),
    Column("owner", String(50), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", Float(53), nullable=False),
)

controllers = Table(
    "controllers",
    metadata,
    Column("id", String(50), primary_key=True),
    Column("address", String(200), nullable=False),
    Column("started_at", Float(53), nullable=False),
    Column("seen_at", Float(53), nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Float(53), nullable=False),
    Column("subject", String(250), nullable=False),
    Column("reason", String(50), nullable=False),
    Column("words", Text, nullable=False),
    Column("before", String(200), nullable=False),
    Column("after", String(200), nullable=False),
    Column("numbers", Text, nullable=False),
    Index("events_by_subject", "subject", "seq"),
)

counters = Table(
    "counters",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
