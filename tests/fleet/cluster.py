# SPDX-License-Identifier: MPL-2.0
"""Manifests as a cluster gets them, and the files that a container of theirs sees."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

FOLDER = ROOT / "ops" / "kubernetes"
OVERLAYS = ("example-site", "example-list")

Manifest = dict[str, Any]


def written() -> list[tuple[str, Manifest]]:
    """Every whole manifest in the repository, with its file; what kustomize reads or merges is left out."""
    found = []
    for file in sorted(FOLDER.rglob("*.yaml")):
        for manifest in yaml.safe_load_all(file.read_text()):
            part = file.name in ("kustomization.yaml", "resources.yaml") or file.parent.name == "cameras"
            if not part:
                found.append((str(file.relative_to(FOLDER)), manifest))
    return found


def rendered(overlay: str) -> list[Manifest]:
    """What `kubectl apply -k` would send; the test is skipped where there is no such program."""
    if shutil.which("kubectl"):
        argv = ["kubectl", "kustomize"]
    elif shutil.which("kustomize"):
        argv = ["kustomize", "build"]
    else:
        pytest.skip("neither kubectl nor kustomize is installed")
    ended = subprocess.run([*argv, FOLDER / "overlays" / overlay], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return list(yaml.safe_load_all(ended.stdout))


def assembled(overlay: str) -> list[Manifest]:
    """What counts for a container, put together without any program: the StatefulSet and its ConfigMaps."""
    base, site = FOLDER / "base", FOLDER / "overlays" / overlay
    common: dict[str, str] = {}
    cameras: dict[str, str] = {}
    for folder in (base, site):
        for made in _read(folder / "kustomization.yaml")["configMapGenerator"]:
            common |= dict(literal.split("=", 1) for literal in made.get("literals", []))
            cameras |= {Path(file).name: (folder / file).read_text() for file in made.get("files", [])}
    stateful = _read(base / "statefulset.yaml")
    (count,) = _read(site / "kustomization.yaml")["replicas"]
    stateful["spec"]["replicas"] = count["count"]
    if (patch := site / "resources.yaml").is_file():
        (box,) = _read(patch)["spec"]["template"]["spec"]["containers"]
        stateful["spec"]["template"]["spec"]["containers"][0] |= box
    maps = (("orion-common", common), ("orion-cameras", cameras))
    found = [{"kind": "ConfigMap", "metadata": {"name": name}, "data": data} for name, data in maps]
    return [*found, stateful, _read(FOLDER / "components" / "podmonitor" / "podmonitor.yaml")]


def _read(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def one(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The only manifest of a kind whose name begins so."""
    found = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"].startswith(name)]
    assert len(found) == 1, (kind, name, len(found))
    return found[0]


class Container:
    """Of one replica: its files in a folder, its arguments and its environment."""

    def __init__(
        self, manifests: list[Manifest], index: int, root: Path, outside: dict[str, dict[str, str]]
    ) -> None:
        """`outside` holds what the manifests do not: Secrets and ConfigMaps by name."""
        self.root = root
        self.pod = one(manifests, "StatefulSet")["spec"]["template"]["spec"]
        self.spec = self.pod["containers"][0]
        self._index = str(index)
        self._data = {
            m["metadata"]["name"]: m["data"] for m in manifests if m["kind"] == "ConfigMap"
        } | outside
        self._mount()
        self.arguments = [self._moved(self._expanded(word)) for word in self.spec["args"]]
        self.env = {
            name: self._moved(value) for source in self.spec["envFrom"] for name, value in self._of(source)
        }
        self.env |= {one["name"]: self._moved(one["value"]) for one in self.spec["env"] if "value" in one}

    def _of(self, source: Manifest) -> Any:
        return self._data[source["configMapRef"]["name"]].items()

    def _expanded(self, text: str) -> str:
        names = {"CAMERA_INDEX": self._index}
        return re.sub(r"\$\((\w+)\)", lambda found: names[found[1]], text)

    def _moved(self, text: str) -> str:
        """Paths of the container as they are on this machine."""
        paths = sorted((mount["mountPath"] for mount in self.spec["volumeMounts"]), key=len, reverse=True)
        pattern = rf"(?<![\w/])({'|'.join(map(re.escape, paths))})(?=/|$|\s)"
        return re.sub(pattern, lambda found: f"{self.root}{found[1]}", text)

    def _mount(self) -> None:
        volumes = {volume["name"]: volume for volume in self.pod["volumes"]}
        for mount in self.spec["volumeMounts"]:
            volume, place = volumes.get(mount["name"], {}), self.root / mount["mountPath"].lstrip("/")
            name = volume.get("configMap", {}).get("name") or volume.get("secret", {}).get("secretName")
            if name is None:
                place.mkdir(parents=True)
            elif "subPathExpr" in mount:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(self._data[name][self._expanded(mount["subPathExpr"])])
            else:
                place.mkdir(parents=True)
                for key, text in self._data[name].items():
                    (place / key).write_text(self._moved(text))
