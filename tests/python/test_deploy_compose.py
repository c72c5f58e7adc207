"""deploy/compose: the file against its schema, and each thing that it names."""

import ipaddress
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest
import yaml

from conftest import PROGRAM, ROOT

FOLDER = ROOT / "deploy/compose"
COMPOSE = FOLDER / "compose.yaml"
NODES = ["push-1", "push-2", "push-3"]


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load(COMPOSE.read_text())


def check(file):
    program = pathlib.Path(sys.executable).parent / "check-jsonschema"
    return subprocess.run([program, "--builtin-schema", "vendor.compose-spec", file], capture_output=True, timeout=60)


def test_compose_yaml_is_of_the_schema_of_compose(tmp_path):
    checked = check(COMPOSE)
    assert checked.returncode == 0, checked.stdout
    (tmp_path / "compose.yaml").write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_grace_perod"))
    assert check(tmp_path / "compose.yaml").returncode == 1


def mounts(compose):
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source, target, *options = volume.split(":")
            yield name, source, target, options


def test_each_file_that_is_mounted_exists_and_is_mounted_read_only(compose):
    files = [(source, options) for _, source, _, options in mounts(compose) if source.startswith(".")]
    assert len(files) == 9
    for source, options in files:
        assert (FOLDER / source).resolve().is_relative_to(ROOT) and (FOLDER / source).exists(), source
        assert options == ["ro"], source
    names = {source for _, source, _, _ in mounts(compose) if not source.startswith(".")}
    assert names == set(compose["volumes"])
    build = compose["services"]["push-1"]["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT and (ROOT / build["dockerfile"]).exists()


def test_programs_find_their_files_where_they_are_mounted(compose):
    targets = {(name, target) for name, _, target, _ in mounts(compose)}
    owners = re.search(r'^    presetenv OWNERS "(.*)"$', (ROOT / "haproxy/haproxy.cfg").read_text(), re.MULTILINE)[1]
    boards = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/pyapns.yml").read_text())
    rules = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["rule_files"]
    assert ("haproxy", owners) in targets
    assert ("grafana", boards["providers"][0]["options"]["path"]) in targets
    assert rules == ["rules/*.yml"] and ("prometheus", "/etc/prometheus/rules") in targets


def test_the_balancer_and_prometheus_ask_all_nodes_at_the_addresses_that_they_have(compose):
    services = compose["services"]
    addresses = {name: services[name]["networks"]["nodes"]["ipv4_address"] for name in NODES}
    balanced = re.findall(r"^    server (\S+) (\S+):8088$", (ROOT / "haproxy/haproxy.cfg").read_text(), re.MULTILINE)
    assert dict(balanced) == addresses
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert scraped["static_configs"][0]["targets"] == [f"{name}:8088" for name in NODES]
    assert "nodes" in services["prometheus"]["networks"]
    source = yaml.safe_load((ROOT / "grafana/provisioning/datasources/pyapns.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    assert set(services["grafana"]["networks"]) & set(services["prometheus"]["networks"])


def test_each_service_beside_the_nodes_has_an_address_of_its_own(compose):
    """A service without an address takes the first free one, which may be that of a node that starts later."""
    (pool,) = compose["networks"]["nodes"]["ipam"]["config"]
    taken = [pool["gateway"]]
    for name, service in compose["services"].items():
        if "nodes" in service.get("networks", []):
            assert isinstance(service["networks"], dict) and service["networks"]["nodes"], (
                f"{name} has no fixed address"
            )
            taken.append(service["networks"]["nodes"]["ipv4_address"])
    assert len(set(taken)) == len(taken) == 6
    assert all(ipaddress.ip_address(address) in ipaddress.ip_network(pool["subnet"]) for address in taken)


def test_nothing_is_open_to_other_machines_and_only_nodes_reach_redis(compose):
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)
    in_store = {name for name, service in compose["services"].items() if "store" in service.get("networks", [])}
    assert in_store == {*NODES, "redis"} and compose["networks"]["store"] == {"internal": True}


def test_the_command_that_makes_the_secrets_makes_what_each_node_needs(compose, tmp_path):
    services = compose["services"]
    made = services["secrets"]["command"]
    (mounted,) = services["secrets"]["volumes"]
    volume = tmp_path / "secrets"
    program, *words = [PROGRAM, *(word.replace(mounted.split(":")[1], str(volume)) for word in made)]
    assert subprocess.run([program, *words], capture_output=True, timeout=20).returncode == 0
    for name in NODES:
        service = services[name]
        place = next(volume.split(":")[1] for volume in service["volumes"] if volume.startswith("secrets:"))
        config = tmp_path / f"{name}.toml"
        text = (FOLDER / "node.toml").read_text()
        assert place in text
        config.write_text(text.replace(place, str(volume)).replace("/var/lib/pyapns", str(tmp_path / name)))
        checked = subprocess.run(
            [PROGRAM, "check-config", "--config", config],
            capture_output=True,
            text=True,
            timeout=20,
            env={**os.environ, **service["environment"]},
        )
        assert checked.returncode == 0 and "warning" not in checked.stderr, checked.stderr + checked.stdout


def test_haproxy_takes_its_file_without_the_rights_of_root():
    """The official image runs HAProxy as the user haproxy, and keeps its user database."""
    haproxy = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert haproxy, "tests/run installs it"
    assert (FOLDER / "owners.map").read_text() == ""
    user = {"user": "haproxy", "group": "haproxy", "extra_groups": []} if os.geteuid() == 0 else {}
    # The folder of the sources, as that of pytest, may be closed to this user.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for file in [ROOT / "haproxy/haproxy.cfg", FOLDER / "owners.map"]:
            shutil.copyfile(file, pathlib.Path(folder) / file.name)
            os.chmod(pathlib.Path(folder) / file.name, 0o644)
        checked = subprocess.run(
            [haproxy, "-c", "-f", f"{folder}/haproxy.cfg"],
            capture_output=True,
            text=True,
            timeout=20,
            env={**os.environ, "OWNERS": f"{folder}/owners.map"},
            cwd=folder,
            **user,
        )
    assert checked.returncode == 0, checked.stderr
