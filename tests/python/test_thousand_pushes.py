"""Libraries that senders use, as their projects publish them: 1,000 pushes each, and the ledger agrees with every answer.

aioapns is always tried; the others in `tests/run --full`, which builds them.
"""

import itertools
import json
import os
import pathlib
import time

import pytest

from foreign import Aioapns, Certificate, Program, Push, Token

BUILT = pathlib.Path(__file__).resolve().parents[2] / "target/foreign"
COMMANDS = {
    "pushy": ["java", "-cp", f"{BUILT}/pushy/classes:{BUILT}/pushy/lib/*", "Send"],
    "node_apn": ["node", f"{BUILT}/node_apn/send.js"],
    "apns2": [f"{BUILT}/apns2/send"],
}
CREDENTIALS = {"certificate": Certificate, "token": Token}
COUNT = 1_000
# aioapns reads the certificate's UID with it.
pytestmark = pytest.mark.filterwarnings("ignore:X509.get_subject is deprecated:DeprecationWarning")


def thousand(topic):
    """Pushes of every type that both credentials may send, each to a different token."""
    types = [("", "alert", "10"), ("", "background", "5"), (".voip", "voip", "10"), (".complication", "complication", "5")]
    expiration = str(int(time.time()) + 3_600)
    return [
        Push(
            topic=topic + suffix,
            push_type=push_type,
            priority=priority,
            expiration=expiration,
            payload=json.dumps({"aps": {"alert": f"Grüße {number}"}}, ensure_ascii=False),
        )
        for number, (suffix, push_type, priority) in zip(range(COUNT), itertools.cycle(types))
    ]


def list_tokens(control, pushes):
    """Makes the simulator refuse some tokens. Returns the expected status, reason and timestamp of each push."""
    listed, expected = [], []
    for number, push in enumerate(pushes):
        if number % 9 == 4:
            # Whole seconds, the precision of apns2.
            timestamp = 1_700_000_000_000 + number * 1_000
            listed.append({"token": push.token, "state": "dead", "timestamp": timestamp})
            expected.append((410, "Unregistered", timestamp))
        elif number % 50 == 49:
            listed.append({"token": push.token, "state": "bad"})
            expected.append((400, "BadDeviceToken", None))
        else:
            expected.append((200, None, None))
    control.post("/tokens", listed)
    return expected


def agree(push, answer, entry, credential):
    """Compares the pushes, the answers and the ledger."""
    assert (answer.status, answer.reason) == (entry["status"], entry["reason"])
    assert entry["answered"] and entry["accepted"] == (answer.status == 200)
    # node-apn does not report the id.
    assert answer.apns_id in (None, push.apns_id) and entry["apns_id"] == push.apns_id
    sent = (push.topic, push.push_type, push.priority)
    assert (entry["topic"], entry["push_type"], entry["priority"]) == sent
    # aioapns reckons from a time to live: a second may begin in between.
    assert 0 <= int(entry["expiration"]) - int(push.expiration) <= 60
    assert json.loads(entry["body"]) == json.loads(push.payload)
    assert entry["identity"] == credential.identity


def thousand_agree(send_all, simulator, control, credential):
    pushes = thousand(simulator["topic"])
    expected = list_tokens(control, pushes)
    began = time.monotonic()
    answers = send_all(pushes)
    took = time.monotonic() - began
    assert [(answer.status, answer.reason, answer.timestamp) for answer in answers] == expected
    ledger = control.ledger()
    # A stream above the limit of a fresh connection is refused, and the library resends unprocessed requests.
    entries = [entry for entry in ledger if entry["processed"]]
    assert len(entries) == COUNT
    assert not any(entry["accepted"] or entry["answered"] for entry in ledger if not entry["processed"])
    by_token = {entry["token"]: entry for entry in entries}
    for push, answer in zip(pushes, answers):
        agree(push, answer, by_token[push.token], credential)
    accepted = sum(answer.status == 200 for answer in answers)
    connections = len({entry["connection"] for entry in entries})
    again = len(ledger) - COUNT
    told = f"{accepted} accepted, {COUNT - accepted} rejected, {again} streams refused and sent again"
    print(f"\n{COUNT} in {took:.1f} s, {connections} connections: {told}")


@pytest.fixture(params=CREDENTIALS)
def credential(request, simulator):
    return CREDENTIALS[request.param](simulator)


def test_a_thousand_pushes_of_aioapns_agree_with_the_ledger(simulator, control, credential, tmp_path):
    client = Aioapns(simulator, credential, tmp_path)

    def send_all(pushes):
        return client.run(lambda session: session.send_all(pushes))

    thousand_agree(send_all, simulator, control, credential)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_thousand_pushes_of_other_libraries_agree_with_the_ledger(name, simulator, control, credential):
    if not os.environ.get("PYAPNS_TEST_FULL"):
        pytest.skip(f"{name} is tried by tests/run --full")
    skipped = BUILT / name / "skipped"
    if skipped.exists():
        pytest.skip(f"{name}: {skipped.read_text().strip()}")
    client = Program(COMMANDS[name], simulator, credential)
    thousand_agree(client.send_all, simulator, control, credential)
