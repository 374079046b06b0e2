# SPDX-License-Identifier: MPL-2.0
"""The manifests are what Kubernetes understands, ask for no rights, and fit the daemon that they start."""

import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cluster import FOLDER, OVERLAYS, Container, Manifest, assembled, one, rendered, written
from readme import command
from running import BUILT, Program

# The first with the label that the manifests read, and the newest that the schemas know.
VERSIONS = ("1.28", kubernetes_validate.latest_version())
# Kinds that the cluster itself does not know.
FOREIGN = ("PodMonitor",)


def is_valid(manifest: Manifest, version: str) -> None:
    if manifest["kind"] not in FOREIGN:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.fixture(scope="module", params=OVERLAYS)
def site(request: pytest.FixtureRequest) -> list[Manifest]:
    return rendered(request.param)


@pytest.fixture(params=OVERLAYS)
def parts(request: pytest.FixtureRequest) -> list[Manifest]:
    """What needs no kubectl."""
    return assembled(request.param)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A certificate, as the broker's authority would have one."""
    folder = tmp_path_factory.mktemp("authority")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=test"
    files = ["-keyout", folder / "key.pem", "-out", folder / "ca.pem"]
    subprocess.run(["openssl", *words.split(), *files], check=True, capture_output=True, timeout=30)
    return (folder / "ca.pem").read_text()


def container(site: list[Manifest], index: int, root: Path, authority: str) -> Container:
    """What docs/fleet.md tells people to make by hand stands for itself here."""
    count = one(site, "StatefulSet")["spec"]["replicas"]
    keys = [f"camera-{number}.{kind}" for number in range(count) for kind in ("mqtt", "rtsp")]
    outside = {"orion-secrets": dict.fromkeys(keys, "a-password"), "orion-broker-ca": {"ca.pem": authority}}
    return Container(site, index, root / str(index), outside)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("file", "manifest"), written(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_manifest_is_valid_by_itself(file: str, manifest: Manifest, version: str) -> None:
    is_valid(manifest, version)


def test_a_wrong_manifest_is_found() -> None:
    stateful = dict(written())["base/statefulset.yaml"]
    stateful["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        is_valid(stateful, VERSIONS[1])


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_cluster_gets_is_valid(site: list[Manifest], version: str) -> None:
    for manifest in site:
        is_valid(manifest, version)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_put_together_for_the_tests_is_what_the_cluster_gets(overlay: str) -> None:
    ours, theirs = assembled(overlay), rendered(overlay)
    for name in ("orion-common", "orion-cameras"):
        assert one(ours, "ConfigMap", name)["data"] == one(theirs, "ConfigMap", name)["data"]
    pods = [one(site, "StatefulSet")["spec"]["template"]["spec"]["containers"][0] for site in (ours, theirs)]
    for key in ("args", "command", "env", "resources", "livenessProbe", "readinessProbe", "volumeMounts"):
        assert pods[0][key] == pods[1][key], key


def test_everybody_means_the_same_pods(site: list[Manifest]) -> None:
    stateful = one(site, "StatefulSet")
    labels = stateful["spec"]["template"]["metadata"]["labels"]
    selectors = [stateful["spec"]["selector"]["matchLabels"], one(site, "Service")["spec"]["selector"]]
    selectors += [m["spec"]["podSelector"]["matchLabels"] for m in site if m["kind"] == "NetworkPolicy"]
    selectors += [
        m["spec"]["selector"]["matchLabels"]
        for m in site
        if m["kind"] in ("PodDisruptionBudget", "PodMonitor")
    ]
    assert len(selectors) == 6
    for selector in selectors:
        assert selector and selector.items() <= labels.items()
    assert stateful["spec"]["serviceName"] == one(site, "Service")["metadata"]["name"]
    namespaces = {m["metadata"].get("namespace") for m in site if m["kind"] != "Namespace"}
    assert namespaces == {one(site, "Namespace")["metadata"]["name"]}


def test_metrics_are_where_they_are_looked_for(site: list[Manifest]) -> None:
    (endpoint,) = one(site, "PodMonitor")["spec"]["podMetricsEndpoints"]
    ports = one(site, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert endpoint["path"] == "/metrics" and endpoint["port"] in [port["name"] for port in ports]
    bind = one(site, "ConfigMap", "orion-common")["data"]["ORION_HTTP__BIND"]
    assert bind.endswith(f":{ports[0]['containerPort']}")


def test_a_container_has_no_rights(site: list[Manifest]) -> None:
    pod = one(site, "StatefulSet")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for box in pod["containers"]:
        rights = box["securityContext"]
        assert (
            rights["readOnlyRootFilesystem"]
            and not rights["allowPrivilegeEscalation"]
            and not rights["privileged"]
        )
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert not any("password" in json.dumps(value).lower() for value in box["env"]), (
            "passwords are in files"
        )
    assert one(site, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_each_replica_has_a_configuration_that_the_daemon_takes(
    parts: list[Manifest], tmp_path: Path, authority: str
) -> None:
    names: list[str] = []
    for index in range(one(parts, "StatefulSet")["spec"]["replicas"]):
        box = container(parts, index, tmp_path, authority)
        file = box.arguments[box.arguments.index("--config") + 1]
        for word in ("check", "print-config"):
            program = Program([str(BUILT / "orion-launch"), word, "--config", file], box.env)
            assert program.wait() == 0, program.output
            program.kill()
        config = yaml.safe_load(program.output)
        names += [camera["instance_id"] for camera in config["cameras"]] or [config["instance_id"]]
        seconds = config["shutdown_timeout_s"]
        assert seconds < box.pod["terminationGracePeriodSeconds"]
        assert config["mqtt"]["uri"].startswith("mqtts://") and config["mqtt"]["password_file"]
        threads = config["models"]["person_detector"]["threads"]
        assert 1 <= threads <= float(box.spec["resources"]["requests"]["cpu"])
    assert len(names) == len(set(names)) >= 3, "each camera has a name of its own"


def test_the_daemon_answers_its_probes_and_ends_in_time(
    parts: list[Manifest], tmp_path: Path, authority: str
) -> None:
    box = container(parts, 0, tmp_path, authority)
    env = {**box.env, "ORION_HTTP__BIND": "127.0.0.1:0", "ORION_MQTT__URI": "mqtts://127.0.0.1:1"}
    # Its cameras are in a network for examples, which nobody answers from.
    program = Program([str(BUILT / box.spec["command"][0]), *box.arguments], env)
    try:
        address = program.wait_for_line(r"http://(127\.0\.0\.1:\d+)/readiness")[1]
        found = {
            probe: ask(address, box.spec[probe]["httpGet"]["path"], box.spec[probe]["timeoutSeconds"])
            for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        assert found == {"startupProbe": 200, "livenessProbe": 200, "readinessProbe": 503}
        (endpoint,) = one(parts, "PodMonitor")["spec"]["podMetricsEndpoints"]
        assert ask(address, endpoint["path"], 5) == 200
        begun = time.monotonic()
        program.signal(signal.SIGTERM)
        assert program.wait(box.pod["terminationGracePeriodSeconds"]) == 0, program.output
        assert time.monotonic() - begun < box.pod["terminationGracePeriodSeconds"]
    finally:
        program.kill()


def ask(address: str, path: str, seconds: float) -> int:
    try:
        return urllib.request.urlopen(f"http://{address}{path}", timeout=seconds).status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_commands_of_the_page_make_what_an_overlay_wants(site: list[Manifest], tmp_path: Path) -> None:
    stateful = one(site, "StatefulSet")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    names = [f"camera-{n}.{kind}" for n in range(stateful["spec"]["replicas"]) for kind in ("mqtt", "rtsp")]
    for file in (*(secrets / name for name in names), tmp_path / "ca.pem"):
        file.write_text("x")
    (tmp_path / "ops").symlink_to(FOLDER.parent)
    text = command("the things that an overlay wants", FOLDER.parents[1] / "docs" / "fleet.md")
    subprocess.run(text, shell=True, check=True, cwd=tmp_path, timeout=60)
    made = [yaml.safe_load((tmp_path / file).read_text()) for file in ("secret.yaml", "ca.yaml")]
    volumes = {volume["name"]: volume for volume in stateful["spec"]["template"]["spec"]["volumes"]}
    assert made[0]["metadata"]["name"] == volumes["secrets"]["secret"]["secretName"]
    assert made[1]["metadata"]["name"] == volumes["ca"]["configMap"]["name"]
    assert sorted(made[0]["data"]) == sorted(names) and list(made[1]["data"]) == ["ca.pem"]
    assert "kind: StatefulSet" in (tmp_path / "site.yaml").read_text()


def test_cameras_and_broker_of_the_configuration_can_be_reached_by_the_network_policy(
    site: list[Manifest],
) -> None:
    reached: list[Any] = []
    for policy in (m for m in site if m["kind"] == "NetworkPolicy"):
        for rule in policy["spec"]["egress"]:
            reached += [port["port"] for port in rule["ports"]]
    cameras = one(site, "ConfigMap", "orion-cameras")["data"]
    broker = one(site, "ConfigMap", "orion-common")["data"]["ORION_MQTT__URI"]
    assert int(broker.rpartition(":")[2]) in reached
    for text in cameras.values():
        for _host, port in re.findall(r"rtsp://([\w.]+)(?::(\d+))?/", text):
            assert int(port or 554) in reached


def test_the_example_names_the_version_that_is_built(site: list[Manifest]) -> None:
    version = re.search(r'^version = "(.+)"$', (FOLDER.parents[1] / "Cargo.toml").read_text(), re.MULTILINE)[
        1
    ]
    image = one(site, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == f"orion-launch:{version}"
