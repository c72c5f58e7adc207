"""deploy/helm/pyapns. With helm, which tests/run --full compiles: each form of the chart against the schemas of Kubernetes."""

import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from conftest import PROGRAM, ROOT

CHART = ROOT / "deploy/helm/pyapns"
BIN = pathlib.Path(sys.executable).parent
API_KEY = '[[api_keys]]\nid = "shop"\nsecret_sha256 = "' + "ab" * 32 + '"\nscopes = ["send"]\n'
SQLITE = {"config": API_KEY}
REDIS = {
    "config": API_KEY,
    "replicas": 3,
    "store": {"redis": "rediss://redis.example:6379/0", "username": "pyapns", "passwordSecret": "redis"},
    "cluster": {"secret": "cluster", "allow": ["10.244.0.0/16", "10.245.0.0/16"]},
    "appsSecret": "apps",
    "tlsSecret": "tls",
    "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {}}]},
    "metrics": {
        "serviceMonitor": {"enabled": True, "keySecret": "metrics", "labels": {"release": "prometheus"}},
        "rules": {"enabled": True, "labels": {"release": "prometheus"}},
    },
    "env": [{"name": "PYAPNS_LOG_LEVEL", "value": "debug"}],
}
OPEN = {"insecure": True, "hosts": ["push.example.com"]}
FORMS = {"sqlite": SQLITE, "redis": REDIS, "open": OPEN}


def run(*arguments, **options):
    return subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=120, **options)


def chart_values():
    return yaml.safe_load((CHART / "values.yaml").read_text())


def test_the_values_are_of_their_schema_and_a_mistyped_one_is_not(tmp_path):
    schema = CHART / "values.schema.json"
    wrong = tmp_path / "wrong.yaml"
    for text in ["replica: 3", "store: {redis: 'https://redis'}", "drain: {seconds: '30'}", "hosts: ['a,b']"]:
        wrong.write_text(text)
        assert run(BIN / "check-jsonschema", "--schemafile", schema, wrong).returncode == 1, text
    assert run(BIN / "check-jsonschema", "--schemafile", schema, CHART / "values.yaml").returncode == 0
    assert run(BIN / "check-jsonschema", "--check-metaschema", schema).returncode == 0
    known = set(json.loads(schema.read_text())["properties"]) - {"global"}
    assert known == set(chart_values()), "each value has its default"


def test_the_chart_has_the_version_of_the_program():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_the_chart_has_the_rules_of_deploy_prometheus():
    assert (CHART / "rules").resolve() == ROOT / "deploy/prometheus/rules"


def test_each_value_that_a_template_reads_has_a_default():
    values = chart_values()
    texts = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    read = set(re.findall(r"\.Values\.([A-Za-z.]+)", texts))
    assert len(read) > 25
    for path in read:
        here = values
        for name in path.split("."):
            assert isinstance(here, dict) and name in here, path
            here = here[name]


@pytest.fixture(scope="module")
def helm():
    places = [os.environ["PATH"], str(ROOT / "target/tools"), str(pathlib.Path.home() / "go/bin")]
    found = shutil.which("helm", path=os.pathsep.join(places))
    if not found:
        pytest.skip("helm is missing: tests/run --full compiles it where it finds Go 1.24 or later")
    return found


def render(helm, values, folder, chart=CHART):
    """The objects of the chart with `values`, by kind and name, and their text."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    rendered = run(helm, "template", "push", chart, "--namespace", "apns", "--kube-version", "1.30.0", "--values", file)
    assert rendered.returncode == 0, rendered.stderr
    objects = [part for part in yaml.safe_load_all(rendered.stdout) if part]
    return {(part["kind"], part["metadata"]["name"]): part for part in objects}, rendered.stdout


@pytest.mark.parametrize("form", FORMS)
def test_helm_lints_the_chart(helm, form, tmp_path):
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(FORMS[form]))
    linted = run(helm, "lint", "--strict", "--kube-version", "1.30.0", CHART, "--values", tmp_path / "values.yaml")
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("form", FORMS)
def test_kubernetes_knows_each_field_of_the_objects(helm, form, tmp_path):
    objects, _ = render(helm, FORMS[form], tmp_path)
    own = [part for part in objects.values() if "monitoring.coreos.com" not in part["apiVersion"]]
    for version in ["1.25", "1.37"]:
        file = tmp_path / "objects.yaml"
        file.write_text(yaml.safe_dump_all(own))
        judged = run(BIN / "kubernetes-validate", "--strict", "--kubernetes-version", version, file)
        assert judged.returncode == 0, judged.stdout + judged.stderr
    pod = next(part for part in own if part["kind"] in ("Deployment", "StatefulSet"))
    pod["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
    file.write_text(yaml.safe_dump_all(own))
    assert run(BIN / "kubernetes-validate", "--strict", "--kubernetes-version", version, file).returncode != 0


def pod_of(objects):
    (found,) = [part for part in objects.values() if part["kind"] in ("Deployment", "StatefulSet")]
    return found["kind"], found["spec"]["template"]["spec"]


def test_a_database_makes_one_stateful_node_and_a_redis_a_deployment(helm, tmp_path):
    kinds = {form: {kind for kind, _ in render(helm, values, tmp_path)[0]} for form, values in FORMS.items()}
    assert kinds["sqlite"] == kinds["open"] == {"ConfigMap", "Service", "StatefulSet"}
    assert kinds["redis"] == {
        *("ConfigMap", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"),
        *("ServiceMonitor", "PrometheusRule"),
    }
    _, pod = pod_of(render(helm, REDIS, tmp_path)[0])
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsUser"] == 65532 and container["securityContext"]["readOnlyRootFilesystem"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert pod["terminationGracePeriodSeconds"] > int(variables["PYAPNS_DRAIN_SECONDS"])
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/healthz"
    probe = container["readinessProbe"]
    noticed = probe["periodSeconds"] * probe["failureThreshold"]
    assert noticed < int(variables["PYAPNS_DRAIN_NOTICE_SECONDS"])


def status_of(port, name):
    """The status of a call of the API by a caller that knows the node by this name."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=20)
    connection.request("GET", "/apps", headers={"Host": name})
    return connection.getresponse().status


@pytest.mark.parametrize("form", FORMS)
def test_a_node_takes_the_configuration_that_the_chart_gives_it(helm, form, tmp_path):
    objects, _ = render(helm, FORMS[form], tmp_path)
    _, pod = pod_of(objects)
    (container,) = pod["containers"]
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {mount["name"] for mount in container["volumeMounts"]} >= {volume["name"] for volume in pod["volumes"]}
    fields = {"metadata.name": "push-pyapns-0", "status.podIP": "10.244.0.7"}
    variables = {}
    for variable in container["env"]:
        value = variable.get("value") or fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        variables[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], value)
    # The files of the Secrets, in a folder of this test.
    secrets = tmp_path / "run/secrets/pyapns"
    if form == "redis":
        assert run(PROGRAM, "cluster", "init", secrets / "cluster").returncode == 0
        for name in ["apps", "redis", "tls"]:
            (secrets / name).mkdir()
        (secrets / "redis/password").write_text("secret")
        (secrets / "redis/password").chmod(0o440)
        request = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=push"]
        files = ["-keyout", secrets / "tls/tls.key", "-out", secrets / "tls/tls.crt"]
        assert run("openssl", "req", "-x509", *request, *files).returncode == 0
        for name in ["apps", "cluster", "redis", "tls"]:
            assert f"/run/secrets/pyapns/{name}" in mounted
    assert {"/etc/pyapns", "/var/lib/pyapns"} <= mounted
    assert variables["PYAPNS_DATA_DIR"].startswith("/var/lib/pyapns/")
    variables = {name: value.replace("/run/secrets/pyapns", str(secrets)) for name, value in variables.items()}
    variables["PYAPNS_DATA_DIR"] = str(tmp_path / "new/data")
    (config,) = [part["data"]["pyapns.toml"] for part in objects.values() if part["kind"] == "ConfigMap"]
    (tmp_path / "pyapns.toml").write_text(config)
    checked = run(PROGRAM, "check-config", "--config", tmp_path / "pyapns.toml", env={"PATH": "", **variables})
    assert checked.returncode == 0, checked.stderr
    if form != "redis":
        serve = [PROGRAM, "serve", "--config", tmp_path / "pyapns.toml", "--listen", "127.0.0.1:0"]
        node = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, env={"PATH": "", **variables})
        try:
            said = node.stdout.readline()
            assert "pyapns listens on" in said
            if form == "open":
                port = said.strip().rpartition(":")[2]
                known = ["push-pyapns", "push-pyapns.apns", "push-pyapns.apns.svc.cluster.local", "push.example.com"]
                assert [status_of(port, name) for name in [*known, "other.example.com"]] == [*[200] * 4, 403]
        finally:
            node.terminate()
        assert node.wait(timeout=30) == 0


def test_the_rules_survive_the_package_and_the_templates(helm, tmp_path):
    packed = run(helm, "package", CHART, "--destination", tmp_path)
    assert packed.returncode == 0, packed.stderr
    (chart,) = tmp_path.glob("*.tgz")
    objects, _ = render(helm, REDIS, tmp_path, chart)
    (rules,) = [part["spec"] for part in objects.values() if part["kind"] == "PrometheusRule"]
    ours = [yaml.safe_load(path.read_text())["groups"] for path in sorted((CHART / "rules").iterdir())]
    assert rules["groups"] == sum(ours, [])
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    checked = run("promtool", "check", "rules", tmp_path / "rules.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "the nodes have no API keys"),
        ({**REDIS, "cluster": {"allow": ["10.0.0.0/8"]}}, "cluster.secret is missing"),
        ({**REDIS, "cluster": {"secret": "cluster"}}, "cluster.allow is missing"),
        ({**SQLITE, "drain": {"seconds": 5, "noticeSeconds": 5}}, "drain.seconds must be more"),
        ({**SQLITE, "replica": 2}, "replica"),
    ],
)
def test_values_with_which_no_node_starts_are_refused(helm, values, sentence, tmp_path):
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    refused = run(helm, "template", "push", CHART, "--kube-version", "1.30.0", "--values", tmp_path / "values.yaml")
    assert refused.returncode != 0 and sentence in refused.stderr, refused.stderr
