# SPDX-License-Identifier: MPL-2.0
"""Results in PostgreSQL: a batch is there as a whole or not at all; what comes again changes nothing."""

import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import pg8000.exceptions
import pg8000.native

# A result is known by whose it is and by its frame. Numbers begin anew with each start, so the moment counts.
TABLES = """
CREATE TABLE IF NOT EXISTS results (
    captured timestamptz NOT NULL,
    instance_id text NOT NULL,
    type text NOT NULL,
    frame_seq bigint NOT NULL,
    room_id text NOT NULL,
    count bigint NOT NULL,
    detections jsonb NOT NULL,
    latency_ms double precision NOT NULL,
    lost jsonb NOT NULL,
    replayed boolean NOT NULL,
    PRIMARY KEY (instance_id, type, captured, frame_seq)
);
CREATE INDEX IF NOT EXISTS results_captured ON results USING brin (captured);
CREATE TABLE IF NOT EXISTS refused (
    heard timestamptz NOT NULL DEFAULT now(),
    topic text NOT NULL,
    payload bytea NOT NULL,
    reason text NOT NULL
);
"""
_KINDS = (
    "timestamptz",
    "text",
    "text",
    "bigint",
    "text",
    "bigint",
    "text",
    "double precision",
    "text",
    "boolean",
)
_ARRAYS = ", ".join(f"CAST(:c{index} AS {kind}[])" for index, kind in enumerate(_KINDS))
_INSERT = f"""
INSERT INTO results
SELECT captured, instance_id, type, frame_seq, room_id, count, detections::jsonb,
    latency_ms, lost::jsonb, replayed
FROM unnest({_ARRAYS})
AS new (captured, instance_id, type, frame_seq, room_id, count, detections, latency_ms, lost, replayed)
ON CONFLICT DO NOTHING
"""
_REFUSE = "INSERT INTO refused (topic, payload, reason) VALUES (:topic, :payload, :reason)"
# Consumers that start together would make the same tables at once, which PostgreSQL answers by an error.
_TABLES_LOCK = 0x6F72696F6E
_TIMEOUT_S = 30


class Away(Exception):
    """The database cannot be reached, or gives up: the same may succeed later."""


class Unfit(Exception):
    """The database does not take these values, and never will."""


@dataclass(frozen=True)
class Address:
    """Where the database is, and who logs in."""

    user: str
    host: str
    port: int
    name: str
    tls: bool

    @classmethod
    def read(cls, text: str) -> "Address":
        """From `postgresql://user@host[:port]/name[?sslmode=require]`.

        Raises:
            ValueError: It is not of this form; the text is not repeated, since it may hold a password.
        """
        form = (
            "the database's address is not of the form postgresql://user@host[:port]/name[?sslmode=require]"
        )
        url = urlsplit(text)
        name = unquote(url.path.lstrip("/"))
        if url.password is not None:
            raise ValueError(
                "the database's address holds a password, which others can read: put it into a file"
            )
        if url.scheme not in ("postgresql", "postgres") or not url.username or not url.hostname or not name:
            raise ValueError(form)
        if url.query not in ("", "sslmode=require"):
            raise ValueError(form)
        return cls(unquote(url.username), url.hostname, url.port or 5432, name, url.query != "")


class Store:
    """Connects when it is needed."""

    def __init__(self, address: Address, password: str | None) -> None:
        self._address, self._password = address, password
        self._connection: pg8000.native.Connection | None = None

    def write(self, rows: Sequence[tuple[Any, ...]]) -> int:
        """How many of them were new; the others are there already.

        Raises:
            Away: Nothing was written, or it is not known whether it was.
            Unfit: Nothing was written.
        """
        columns = {f"c{index}": [row[index] for row in rows] for index in range(len(_KINDS))}
        return self._run(_INSERT, columns)

    def refuse(self, topic: str, payload: bytes, reason: str) -> None:
        """Keeps what is no result, for a person to look at.

        Raises:
            Away: As above.
        """
        fit = {"topic": topic.replace("\0", "\\0"), "payload": payload, "reason": reason.replace("\0", "\\0")}
        self._run(_REFUSE, fit)

    def close(self) -> None:
        """Forgets the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # It may not be there any more.
            with contextlib.suppress(pg8000.exceptions.Error, OSError):
                connection.close()

    def _run(self, statement: str, values: dict[str, Any]) -> int:
        try:
            if self._connection is None:
                self._connection = self._connect()
            # A statement of its own is a transaction of its own.
            self._connection.run(statement, **values)
            return self._connection.row_count
        except pg8000.exceptions.DatabaseError as error:
            told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
            code, text = told.get("C", ""), told.get("M", str(error))
            # 22: wrong values; 23: they break a rule. All else may be better later.
            if code[:2] in ("22", "23"):
                raise Unfit(text) from error
            self.close()
            raise Away(text) from error
        except (pg8000.exceptions.InterfaceError, OSError) as error:
            self.close()
            raise Away(str(error)) from error

    def _connect(self) -> pg8000.native.Connection:
        at = self._address
        context = ssl.create_default_context() if at.tls else None
        made = pg8000.native.Connection(
            at.user, at.host, at.name, at.port, self._password, ssl_context=context, timeout=_TIMEOUT_S
        )
        try:
            made.run(f"SELECT pg_advisory_lock({_TABLES_LOCK})")
            for statement in TABLES.split(";")[:-1]:
                made.run(statement)
            made.run(f"SELECT pg_advisory_unlock({_TABLES_LOCK})")
        except BaseException:
            made.close()
            raise
        return made
