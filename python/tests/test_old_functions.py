"""The functions of pyapns 0.4: `configure`, `provision`, `notify`, `feedback`, over REST."""

import datetime
import json
import os
import queue
import subprocess
import sys
import textwrap

import pytest

import pyapns
from pyapns import _functions
from pyapns.client import OPTIONS, APNSNotConfigured, UnknownAppID

APP = "com.example.old"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """The module as a new process finds it."""
    monkeypatch.setattr(_functions, "_client", None)
    monkeypatch.setattr(_functions, "_environments", {})
    before = dict(OPTIONS)
    yield
    OPTIONS.clear()
    OPTIONS.update(before)


@pytest.fixture
def service(pyapns_service):
    """The running node, without the app of these tests."""
    yield pyapns_service
    with pyapns_service.client() as client:
        for app in client.apps():
            if app.app_id == APP:
                client.remove(app.app_id, app.environment)


@pytest.fixture
def provisioned(service):
    """A node that this process has provisioned an app on, as the quick start of 0.4 did."""
    assert pyapns.configure({"HOST": service.url + "/"}) is True
    assert pyapns.provision(APP, service.simulator.certificate, "sandbox") is None
    return service


def tokens_of(service):
    return [(entry.token, entry.payload) for entry in service.ledger.accepted()]


def test_the_quick_start_of_0_4_works_unchanged(provisioned):
    payload = {"aps": {"sound": "flynn.caf", "badge": 0, "message": "Hello from pyapns :)"}}
    outcomes = pyapns.notify(APP, "00 fc 13 ad", payload)
    assert [one["outcome"] for one in outcomes] == ["accepted"]
    assert tokens_of(provisioned) == [("00fc13ad", payload)]


def test_a_provisioning_that_fails_leaves_the_environment_as_it_was(provisioned):
    with pytest.raises(pyapns.ApiError):
        pyapns.provision(APP, "/no/such/file.pem", "production")
    assert pyapns.notify(APP, "0a", {"aps": {}})[0]["outcome"] == "accepted"
    with pytest.raises(pyapns.ApiError):
        pyapns.provision("com.example.never", "/no/such/file.pem", "production")
    with pytest.raises(UnknownAppID, match="is not provisioned"):
        pyapns.notify("com.example.never", "0a", {"aps": {}})


def test_payloads_go_to_tokens_in_pairs_and_one_payload_goes_to_all(provisioned):
    first, second = {"aps": {"badge": 1}}, {"aps": {"badge": 2}}
    pyapns.notify(APP, ["0a", "0b"], [first, second])
    pyapns.notify(APP, ["0c", "0d"], first)
    assert sorted(tokens_of(provisioned)) == [("0a", first), ("0b", second), ("0c", first), ("0d", first)]
    with pytest.raises(ValueError, match="3 tokens and 2 payloads"):
        pyapns.notify(APP, ["0a", "0b", "0c"], [first, second])


def test_feedback_is_pairs_of_a_naive_time_in_utc_and_a_token(provisioned):
    provisioned.simulator.make_dead("0a")
    pyapns.notify(APP, "0a", {"aps": {}})
    [[time, token]] = pyapns.feedback(APP)
    assert token == "0a" and time.tzinfo is None
    assert abs(time - datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)) < datetime.timedelta(minutes=1)
    assert pyapns.feedback(APP) == []


def test_a_callback_gets_the_result_and_its_value_is_returned(provisioned):
    assert pyapns.notify(APP, "0a", {"aps": {}}, callback=lambda found: found[0]["outcome"].upper()) == "ACCEPTED"
    assert pyapns.feedback(APP, callback=len) == 0


def test_an_errback_gets_the_error_and_without_one_it_is_raised(provisioned):
    assert isinstance(pyapns.notify("nobody", "0a", {}, errback=lambda error: error), UnknownAppID)
    with pytest.raises(UnknownAppID):
        pyapns.notify("nobody", "0a", {})


@pytest.mark.parametrize("how", [{"async_": True}, {"async": True}])
def test_async_calls_return_none_and_call_back_from_a_thread(provisioned, how):
    results = queue.Queue()
    assert pyapns.notify(APP, "0a", {"aps": {}}, callback=results.put, **how) is None
    assert results.get(timeout=10)[0]["outcome"] == "accepted"
    assert pyapns.feedback("nobody", errback=results.put, **how) is None
    assert isinstance(results.get(timeout=10), UnknownAppID)


def test_an_unexpected_argument_is_a_type_error(provisioned):
    with pytest.raises(TypeError, match="asink"):
        pyapns.notify(APP, "0a", {}, **{"asink": True})


def test_only_the_first_configure_has_an_effect(service, closed_url):
    assert pyapns.configure({}) is False
    assert pyapns.configure({"HOST": service.url, "TIMEOUT": 15}) is True
    assert pyapns.configure({"HOST": closed_url}) is True
    assert (OPTIONS["HOST"], OPTIONS["TIMEOUT"], OPTIONS["CONFIGURED"]) == (service.url, 15, True)


def test_without_configuration_a_call_says_so():
    with pytest.raises(APNSNotConfigured, match="Has not been configured"):
        pyapns.notify(APP, "0a", {})


def test_initial_provisions_the_apps_and_an_app_that_got_lost_is_provisioned_again(service, tmp_path):
    certificate = tmp_path / "cert.pem"
    certificate.write_text(service.simulator.certificate)
    pyapns.configure({"HOST": service.url, "INITIAL": [(APP, str(certificate), "production", 20)]})
    with service.client() as client:
        assert client.app(APP, "production").timeout == 20
        client.remove(APP, "production")
        assert pyapns.notify(APP, "0a", {"aps": {}})[0]["outcome"] == "accepted"
        assert client.app(APP, "production").state == "ok"


def test_the_environment_is_asked_from_the_node_and_two_are_an_error(service):
    pyapns.configure({"HOST": service.url})
    with service.client() as client:
        client.provision(APP, "production", service.simulator.certificate)
        assert pyapns.notify(APP, "0a", {"aps": {}})[0]["outcome"] == "accepted"
        _functions._environments.clear()
        client.provision(APP, "sandbox", service.simulator.certificate)
    with pytest.raises(UnknownAppID, match="both environments"):
        pyapns.notify(APP, "0a", {"aps": {}})


def test_the_port_of_xml_rpc_is_replaced_by_that_of_rest_and_said_once(service, monkeypatch):
    port = int(service.url.rsplit(":", 1)[1])
    monkeypatch.setattr(_functions, "REST_PORT", port)
    with pytest.warns(UserWarning, match="change the option HOST") as said:
        pyapns.configure({"HOST": "http://127.0.0.1:7077/"})
        pyapns.provision(APP, service.simulator.certificate, "sandbox")
        pyapns.notify(APP, "0a", {"aps": {}})
    assert [one.category for one in said].count(UserWarning) == 1 and tokens_of(service) == [("0a", {"aps": {}})]


def test_the_settings_of_django_come_first(service, tmp_path):
    pytest.importorskip("django", reason="Django is not installed for this Python")
    (tmp_path / "settings.py").write_text(f"PYAPNS_CONFIG = {{'HOST': {service.url!r}, 'TIMEOUT': 7}}\n")
    script = """
        import json, pyapns
        from pyapns.client import OPTIONS
        pyapns.configure({"HOST": "http://wrong.invalid", "TIMEOUT": 1})
        found = pyapns.notify("%s", "0a", {"aps": {}})
        print(json.dumps([OPTIONS["HOST"], OPTIONS["TIMEOUT"], found[0]["outcome"]]))
    """
    with service.client() as client:
        client.provision(APP, "sandbox", service.simulator.certificate)
    path = os.path.dirname(os.path.dirname(pyapns.__file__))
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": path}
    code = textwrap.dedent(script) % APP
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == [service.url, 7, "accepted"]
