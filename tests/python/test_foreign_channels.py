"""node-apn manages channels and sends broadcasts, and every answer that it reports is the one in the ledger.

It runs in `tests/run --full`, which builds it.
"""

import json
import os
import pathlib
import subprocess
import uuid

import pytest

from foreign import Certificate, Token

BUILT = pathlib.Path(__file__).resolve().parents[2] / "target/foreign/node_apn"
CREDENTIALS = {"certificate": Certificate, "token": Token}
BUNDLE = "com.example.app"
POLICIES = [{"message-storage-policy": policy, "push-type": "LiveActivity"} for policy in (0, 1)]
PAYLOAD = {"aps": {"event": "update", "timestamp": 1_700_000_000, "content-state": {"score": "1:0"}}}
LATER = 4_102_444_800


@pytest.fixture(params=CREDENTIALS)
def node_apn(request, simulator):
    """A function that makes calls with node-apn and returns its reports."""
    if not os.environ.get("PYAPNS_TEST_FULL"):
        pytest.skip("node-apn is tried by tests/run --full")
    if (BUILT / "skipped").exists():
        pytest.skip((BUILT / "skipped").read_text().strip())
    credential = CREDENTIALS[request.param](simulator)
    command = ["node", BUILT / "channels.js", simulator["listen"], simulator["ca_file"]]
    if request.param == "certificate":
        command += ["certificate", credential.file]
    else:
        command += ["token", simulator["key_file"], credential.key_id, credential.team_id]
    command.append(simulator["channels"]["sandbox"])

    def run(calls):
        lines = "".join(json.dumps(call) + "\n" for call in calls)
        ended = subprocess.run(command, input=lines, capture_output=True, timeout=60, text=True)
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    run.identity = credential.identity
    return run


def call(action, **fields):
    return {"action": action, "bundle": BUNDLE, "request": str(uuid.uuid4()), **fields}


def broadcast(channel="$created", expiry=0, **fields):
    return call(
        "broadcast",
        **{"channel": channel, "payload": PAYLOAD, "expiry": expiry, "priority": 10, "pushType": "liveactivity", **fields},
    )


def agree(calls, reports, entries, identity):
    """Compares the calls, node-apn's reports and the ledger."""
    assert len(calls) == len(reports) == len(entries)
    for made, report, entry in zip(calls, reports, entries):
        assert entry["processed"] and entry["answered"] and entry["identity"] == identity
        assert report["apns-request-id"] == made["request"] == entry["apns_id"]
        if entry["accepted"]:
            assert "status" not in report and entry["status"] in (200, 201, 204)
        else:
            assert (report["status"], report["response"]["reason"]) == (entry["status"], entry["reason"])


@pytest.mark.parametrize("policy", [0, 1])
def test_the_life_of_a_channel_as_node_apn_reports_it_is_the_one_in_the_ledger(node_apn, control, policy):
    expiry = LATER if policy else 0
    calls = [
        call("create", payload=POLICIES[policy]),
        call("read", channel="$created"),
        call("readAll"),
        *(broadcast(expiry=expiry) for _ in range(3)),
        call("delete", channel="$created"),
        call("readAll"),
    ]
    reports = node_apn(calls)
    ledger = control.ledger()
    agree(calls, reports, ledger, node_apn.identity)
    channel = reports[0]["apns-channel-id"]
    assert channel == ledger[0]["channel_id"]
    assert (reports[1]["message-storage-policy"], reports[1]["push-type"]) == (policy, "LiveActivity")
    assert (reports[2]["channels"], reports[-1]["channels"]) == ([channel], [])
    assert [entry["call"] for entry in ledger] == [
        "create_channel",
        "read_channel",
        "list_channels",
        *["broadcast"] * 3,
        "delete_channel",
        "list_channels",
    ]
    assert [entry["status"] for entry in ledger] == [201, 200, 200, 200, 200, 200, 204, 200]
    for entry in ledger[3:6]:
        assert (entry["channel_id"], entry["expiration"], entry["priority"]) == (channel, str(expiry), "10")
        assert json.loads(entry["body"]) == PAYLOAD


def test_the_refusals_that_node_apn_reports_are_the_ones_in_the_ledger(node_apn, control):
    never = "AAAAAAAAAAAAAAAAAAAAAA=="
    calls = [
        call("create", payload={**POLICIES[0], "name": "x"}),
        call("create", payload={**POLICIES[0], "push-type": "alert"}),
        call("create", payload=POLICIES[0]),
        call("read"),
        call("delete", channel=never),
        broadcast(expiry=LATER),
        broadcast(channel=never),
        broadcast(pushType="alert"),
        broadcast(payload={"aps": {"content-state": {"text": "x" * 5_120}}}),
        {**broadcast(), "bundle": f"{BUNDLE}.push-type.liveactivity"},
        call("delete", channel="$created"),
        broadcast(),
    ]
    reports = node_apn(calls)
    agree(calls, reports, control.ledger(), node_apn.identity)
    assert [report["response"]["reason"] if "response" in report else None for report in reports] == [
        "BadRequestParams",
        "InvalidPushType",
        None,
        "MissingChannelId",
        "BadPath",
        "BadExpirationDate",
        "BadChannelId",
        "InvalidPushType",
        "PayloadTooLarge",
        "TopicDisallowed",
        None,
        "ChannelNotRegistered",
    ]


def test_an_app_without_broadcasts_and_a_full_app_are_refused_to_node_apn_as_to_the_ledger(node_apn, control):
    control.post("/script", {"channel_limit": 1})
    calls = [call("create", payload=policy) for policy in POLICIES]
    reports = node_apn(calls)
    agree(calls, reports, control.ledger(), node_apn.identity)
    assert reports[1]["response"]["reason"] == "CannotCreateChannelConfig"
    control.post("/apps", [{"bundle": BUNDLE, "broadcast": False}])
    calls = [call("readAll"), broadcast(channel=reports[0]["apns-channel-id"])]
    reports = node_apn(calls)
    agree(calls, reports, control.ledger()[2:], node_apn.identity)
    assert {report["response"]["reason"] for report in reports} == {"BroadcastFeatureNotEnabled"}
