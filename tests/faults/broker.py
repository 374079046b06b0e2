# SPDX-License-Identifier: MPL-2.0
"""What happens to brokers, and on the way to them."""

import threading

import packets
import paho.mqtt.client as paho
from running import wait_for
from scenario import Scenario, every, given_up, health, log, nothing, status
from stage import GO, HANG, Stage

AWAY = health("no connection to the broker")
# The broker says so itself, when the connection has been silent for one and a half times mqtt.keep_alive_s.
OFFLINE = every(AWAY, status("offline"))


def stop_broker(number: int):
    return lambda stage: stage.broker.signal(number)


def refuse(stage: Stage) -> None:
    stage.proxy.refuse()


def heal(stage: Stage) -> None:
    stage.proxy.heal()


def remembers(stage: Stage) -> None:
    """What is retained is there again."""
    assert b'"revision"' in stage.daemon.retained("state")
    assert b'"present"' in stage.daemon.retained("presence")
    assert stage.daemon.retained("status") == b"online"


def login_wanted(stage: Stage) -> None:
    """The broker comes back and lets nobody in that it does not know."""
    stage.broker_dies()
    stage.broker.configure("allow_anonymous false\n")
    stage.broker_returns(heard=False)


def login_not_wanted(stage: Stage) -> None:
    stage.broker_dies()
    stage.broker.configure("allow_anonymous true\n")
    stage.broker_returns()


def flap(stage: Stage) -> None:
    """Cut again and again."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.3):
            stage.proxy.reset()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    stage.notes["flap"] = (over, thread)
    stage.at_end(over.set)


def flap_no_more(stage: Stage) -> None:
    over, thread = stage.notes["flap"]
    over.set()
    thread.join(5)


def take_over(stage: Stage) -> None:
    """Somebody else with the same name, who does not give way."""
    other = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="ward")
    other.reconnect_delay_set(0.05, 0.2)
    other.connect("127.0.0.1", stage.broker.port)
    other.loop_start()
    stage.notes["other"] = other
    wait_for("the other client", other.is_connected, 5)


def give_way(stage: Stage) -> None:
    stage.notes["other"].disconnect()
    stage.notes["other"].loop_stop()


def slow(stage: Stage) -> None:
    for way in (stage.proxy.up, stage.proxy.down):
        way.delay_s, way.loss, way.rate = 0.1, 0.1, 50_000.0


SCENARIOS = [
    Scenario(
        name="broker dies and forgets everything",
        injected="killed; started again after 2 s with nothing of what was retained",
        fault=lambda stage: stage.broker_dies(),
        told=AWAY,
        end=lambda stage: stage.broker_returns(),
        hold=2,
        deaf=True,
        forgets=True,
        after=remembers,
    ),
    Scenario(
        name="broker hangs",
        injected="its process is stopped for 5 s (SIGSTOP)",
        fault=stop_broker(HANG),
        told=AWAY,
        within=6,
        end=stop_broker(GO),
        hold=5,
        deaf=True,
    ),
    Scenario(
        name="broker's cable is pulled",
        short=True,
        injected="no packet goes either way for 6 s, connections stay half open",
        fault=lambda stage: stage.proxy.part(),
        told=OFFLINE,
        within=15,
        end=heal,
        hold=3,
        deaf=True,
        back=12,
    ),
    Scenario(
        name="nothing gets to the broker",
        injected="what the daemon sends is swallowed, what the broker sends arrives",
        fault=lambda stage: stage.proxy.part(up=True, down=False),
        told=OFFLINE,
        within=15,
        end=heal,
        hold=1,
        deaf=True,
        back=12,
    ),
    Scenario(
        name="nothing comes from the broker",
        injected="what the broker sends is swallowed, what the daemon sends arrives",
        fault=lambda stage: stage.proxy.part(up=False, down=True),
        told=AWAY,
        within=8,
        end=heal,
        hold=1,
        deaf=True,
        back=12,
    ),
    Scenario(
        name="broker's port refuses",
        injected="connections end, new ones are refused for 3 s",
        fault=refuse,
        told=AWAY,
        end=heal,
        hold=3,
        deaf=True,
    ),
    Scenario(
        name="broker accepts and says nothing",
        injected="connections end; new ones are taken and never answered for 4 s",
        fault=lambda stage: (setattr(stage.proxy, "mute", True), stage.proxy.reset()),
        told=AWAY,
        end=lambda stage: (heal(stage), stage.proxy.reset()),
        hold=4,
        deaf=True,
        back=12,
    ),
    Scenario(
        name="broker speaks no MQTT",
        injected="whatever the broker sends arrives as random bytes for 4 s",
        fault=lambda stage: setattr(stage.proxy.down, "editor", packets.noise),
        told=AWAY,
        within=8,
        end=heal,
        hold=4,
        deaf=True,
        back=12,
    ),
    Scenario(
        name="network to the broker flaps",
        injected="all connections are reset every 0.3 s for 5 s",
        fault=flap,
        told=AWAY,
        end=flap_no_more,
        hold=5,
        deaf=True,
    ),
    Scenario(
        name="network to the broker is bad",
        injected="100 ms more each way, 50 kB/s, 1 of 10 pieces sent twice, for 5 s",
        fault=slow,
        told=nothing(),
        end=heal,
        hold=5,
    ),
    Scenario(
        name="broker wants a login",
        injected="started again with nobody allowed in; later as before",
        fault=login_wanted,
        told=health("no connection to the broker .*(not authori[sz]ed|NotAuthorized|refused)"),
        end=login_not_wanted,
        hold=1,
        deaf=True,
        forgets=True,
        back=12,
    ),
    Scenario(
        name="broker is away for longer than results are kept",
        injected="refuses for 5 s; 10 messages are kept",
        config={"mqtt": {"max_buffered_messages": 10}},
        fault=refuse,
        told=AWAY,
        end=heal,
        hold=5,
        deaf=True,
        after=lambda stage: wait_for(
            "word of the loss", lambda: next(given_up("queue_full")(stage, 0), None), 5
        ),
    ),
    Scenario(
        name="results are not kept",
        injected="refuses for 3 s with mqtt.outage_policy drop",
        config={"mqtt": {"outage_policy": "drop"}},
        fault=refuse,
        told=AWAY,
        end=heal,
        hold=3,
        deaf=True,
        after=lambda stage: wait_for(
            "word of the loss", lambda: next(given_up("no_connection")(stage, 0), None), 5
        ),
    ),
    Scenario(
        name="somebody else has the same client_id",
        injected="another client takes over the session again and again for 2 s",
        config={"mqtt": {"client_id": "ward"}},
        fault=take_over,
        told=log("client_id|client identifier|taken over|closed"),
        end=give_way,
        hold=2,
        deaf=True,
    ),
]
