# SPDX-License-Identifier: MPL-2.0
"""Writes results from MQTT into PostgreSQL. Start as many as are needed: they share the work.

Each has a --client-id of its own. What is not yet written is not acknowledged, so the broker gives it again
to whoever comes with the same name; what comes twice is written once. See docs/fleet.md.
"""

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

try:
    import paho.mqtt.client as paho
    from share import Consumer
    from store import Address, Store
except ImportError as error:
    sys.exit(f"consumer.py: {error}; install what requirements.txt beside it names")


def _password(file: Path | None, variable: str) -> str | None:
    if file is None:
        return os.environ.get(variable)
    return file.read_text().rstrip("\n")


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--broker", default="mqtt://127.0.0.1:1883", help="mqtt://[user@]host[:port], or mqtts://"
    )
    parser.add_argument(
        "--broker-password-file", type=Path, help="else the variable ORION_MQTT_PASSWORD counts"
    )
    parser.add_argument(
        "--broker-ca-file", type=Path, help="the authority of an mqtts broker; default: the system's"
    )
    parser.add_argument(
        "--database", required=True, help="postgresql://user@host[:port]/name[?sslmode=require]"
    )
    parser.add_argument("--database-password-file", type=Path, help="else the variable PGPASSWORD counts")
    parser.add_argument(
        "--client-id", default=socket.gethostname(), help="its name, the same after each start"
    )
    parser.add_argument("--group", default="store", help="those of one group share the work (store)")
    parser.add_argument("--prefix", default="care", help="mqtt.prefix of the daemons (care)")
    parser.add_argument(
        "--batch", type=int, default=500, help="results written at once at most, 1..10000 (500)"
    )
    parser.add_argument(
        "--hold", type=float, default=0.5, help="seconds that a result waits for others (0.5)"
    )
    parser.add_argument(
        "--expiry", type=int, default=86_400, help="seconds that the broker keeps its share (86400)"
    )
    parser.add_argument(
        "--leave", action="store_true", help="take what the broker keeps for this name, then end for good"
    )
    asked = parser.parse_args(words)
    if not 1 <= asked.batch <= 10_000:
        parser.error(f"--batch {asked.batch} is not within 1..10000")
    if not 0 <= asked.hold <= 60:
        parser.error(f"--hold {asked.hold} is not within 0..60")
    if not 0 <= asked.expiry < 2**32:
        parser.error(f"--expiry {asked.expiry} is not within 0..{2**32 - 1}")
    return asked


def make(asked: argparse.Namespace) -> Consumer:
    """What the command line asks for.

    Raises:
        ValueError: An address cannot be used.
        OSError: A file cannot be read.
    """
    url = urlsplit(asked.broker)
    if url.scheme not in ("mqtt", "mqtts") or not url.hostname or url.password is not None:
        raise ValueError("--broker is not of the form mqtt://[user@]host[:port]; a password stands in a file")
    secure = url.scheme == "mqtts"
    client = paho.Client(
        paho.CallbackAPIVersion.VERSION2,
        asked.client_id,
        protocol=paho.MQTTv5,
        manual_ack=True,
        reconnect_on_failure=False,
    )
    if url.username:
        client.username_pw_set(url.username, _password(asked.broker_password_file, "ORION_MQTT_PASSWORD"))
    if secure:
        client.tls_set(str(asked.broker_ca_file) if asked.broker_ca_file else None)
    store = Store(Address.read(asked.database), _password(asked.database_password_file, "PGPASSWORD"))
    topic = f"$share/{asked.group}/{asked.prefix}/inferences/#"
    broker = url.hostname, url.port or (8883 if secure else 1883)
    return Consumer(asked.client_id, store, broker, client, topic, asked.batch, asked.hold, asked.expiry)


def main() -> int:
    """0 when it was stopped, 2 when the command line is wrong."""
    asked = arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        consumer = make(asked)
    except (ValueError, OSError) as error:
        print(f"consumer.py: {error}", file=sys.stderr)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, consumer.stop)
    consumer.run(asked.leave)
    return 0


if __name__ == "__main__":
    sys.exit(main())
