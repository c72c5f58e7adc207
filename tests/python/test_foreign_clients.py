"""aioapns, curl and nghttp report the answers in the simulator's ledger, with certificate and with token."""

import json
import subprocess
import time

import pytest

from foreign import Aioapns, Certificate, Curl, Nghttp, Push, ShellToken, Token

CLIENTS = {"aioapns": Aioapns, "curl": Curl, "nghttp": Nghttp}
CREDENTIALS = {"certificate": Certificate, "token": Token}
LAST_ID_MAX = 2**31 - 1
# aioapns reads the certificate's UID with it.
pytestmark = pytest.mark.filterwarnings("ignore:X509.get_subject is deprecated:DeprecationWarning")
SHUTDOWN = '{"reason":"Shutdown"}'


@pytest.fixture(params=CREDENTIALS)
def credential(request, simulator):
    return CREDENTIALS[request.param](simulator)


def made(name):
    """A fixture of one client."""

    @pytest.fixture
    def client(simulator, credential, tmp_path):
        return CLIENTS[name](simulator, credential, tmp_path)

    return client


aioapns, curl, nghttp = made("aioapns"), made("curl"), made("nghttp")


@pytest.fixture(params=CLIENTS)
def client(request, simulator, credential, tmp_path):
    return CLIENTS[request.param](simulator, credential, tmp_path)


@pytest.fixture(params=["curl", "nghttp"])
def command(request, simulator, credential, tmp_path):
    """The clients that can send arbitrary requests."""
    return CLIENTS[request.param](simulator, credential, tmp_path)


def agree(answer, entry):
    """Compares a client's report with the ledger. Timestamps are not in the ledger."""
    assert (answer.status, answer.reason) == (entry["status"], entry["reason"])
    assert answer.apns_id == entry["apns_id"]
    assert entry["accepted"] == (answer.status == 200)
    assert entry["answered"]


def only_entry(control, push):
    [entry] = control.ledger(push.token)
    return entry


def test_an_accepted_push_is_in_the_ledger_as_it_was_sent(client, credential, control):
    expiration = str(int(time.time()) + 3600)
    push = Push(priority="5", expiration=expiration, collapse_id="score", push_type="background")
    answer = client.send(push)
    entry = only_entry(control, push)
    assert answer.status == 200 and entry["accepted"]
    agree(answer, entry)
    assert entry["apns_id"] == push.apns_id
    assert entry["identity"] == credential.identity
    sent = (push.topic, push.push_type, push.priority, push.collapse_id)
    assert (entry["topic"], entry["push_type"], entry["priority"], entry["collapse_id"]) == sent
    # aioapns reckons from a time to live: a second may begin in between.
    assert int(entry["expiration"]) - int(expiration) in (0, 1)
    assert json.loads(entry["body"]) == json.loads(push.payload)


def test_aioapns_finds_its_topic_in_the_certificate(simulator, control, tmp_path):
    push = Push(topic=None)
    answer = Aioapns(simulator, Certificate(simulator), tmp_path).send(push)
    assert answer.status == 200
    agree(answer, only_entry(control, push))
    assert only_entry(control, push)["topic"] == simulator["topic"]


def test_an_id_that_the_simulator_made_is_in_the_ledger(command, control):
    push = Push(apns_id=None)
    answer = command.send(push)
    agree(answer, only_entry(control, push))
    assert answer.apns_id == answer.apns_id.upper()


@pytest.mark.parametrize(
    "status, reason, fields",
    [
        (400, "BadDeviceToken", {"token": "not-hex"}),
        (400, "BadTopic", {"topic": "com example"}),
        (400, "BadPriority", {"priority": "7"}),
        (400, "BadCollapseId", {"collapse_id": "x" * 65}),
        (400, "InvalidPushType", {"push_type": "voip"}),
        (400, "InvalidPushType", {"topic": "com.example.app.voip"}),
        (413, "PayloadTooLarge", {"payload": json.dumps({"aps": {"alert": "x" * 4096}})}),
    ],
)
def test_a_refused_push_is_refused_alike_in_the_ledger(client, control, status, reason, fields):
    push = Push(**fields)
    answer = client.send(push)
    assert (answer.status, answer.reason) == (status, reason)
    agree(answer, only_entry(control, push))


@pytest.mark.parametrize("state, reason", [("bad", "BadDeviceToken"), ("wrong_topic", "DeviceTokenNotForTopic")])
def test_a_listed_token_is_refused_alike_in_the_ledger(client, control, state, reason):
    push = Push()
    control.post("/tokens", [{"token": push.token, "state": state}])
    answer = client.send(push)
    assert (answer.status, answer.reason) == (400, reason)
    agree(answer, only_entry(control, push))


@pytest.mark.parametrize(
    "status, reason, fields",
    [
        (400, "MissingTopic", {"topic": None}),
        (400, "BadMessageId", {"apns_id": "one"}),
        (400, "BadExpirationDate", {"expiration": "tomorrow"}),
        (400, "InvalidPushType", {"push_type": "loud"}),
        (400, "PayloadEmpty", {"payload": ""}),
        (400, "DuplicateHeaders", {"more_headers": [("apns-topic", "com.example.app")]}),
        (400, "MissingDeviceToken", {"path": "/3/device/", "token": ""}),
        (404, "BadPath", {"path": "/4/device/00", "token": ""}),
        (405, "MethodNotAllowed", {"method": "PUT"}),
    ],
)
def test_a_malformed_request_is_refused_alike_in_the_ledger(command, control, status, reason, fields):
    push = Push(**fields)
    answer = command.send(push)
    assert (answer.status, answer.reason) == (status, reason)
    agree(answer, only_entry(control, push))


@pytest.mark.parametrize("name", CLIENTS)
def test_a_certificate_may_not_push_to_a_topic_it_does_not_list(name, simulator, control, tmp_path):
    push = Push(topic="com.example.other")
    answer = CLIENTS[name](simulator, Certificate(simulator), tmp_path).send(push)
    assert (answer.status, answer.reason) == (400, "TopicDisallowed")
    agree(answer, only_entry(control, push))


@pytest.mark.parametrize("name", CLIENTS)
def test_a_token_signed_with_a_foreign_key_is_invalid(name, simulator, control, tmp_path):
    push = Push()
    answer = CLIENTS[name](simulator, Token.foreign(simulator), tmp_path).send(push)
    assert (answer.status, answer.reason) == (403, "InvalidProviderToken")
    entry = only_entry(control, push)
    agree(answer, entry)
    assert entry["identity"] is None


@pytest.mark.parametrize("client", [Curl, Nghttp])
def test_a_token_signed_as_in_apples_shell_recipe_is_taken(client, simulator, control, tmp_path):
    credential, push = ShellToken(simulator), Push()
    answer = client(simulator, credential, tmp_path).send(push)
    assert answer.status == 200
    entry = only_entry(control, push)
    agree(answer, entry)
    assert entry["identity"] == credential.identity


@pytest.mark.parametrize("name", CLIENTS)
def test_a_token_of_more_than_an_hour_is_expired(name, simulator, control, tmp_path):
    control.post("/clock", {"advance_ms": 3_660_000})
    push = Push()
    answer = CLIENTS[name](simulator, Token(simulator), tmp_path).send(push)
    assert (answer.status, answer.reason) == (403, "ExpiredProviderToken")
    agree(answer, only_entry(control, push))


@pytest.mark.parametrize("name", ["curl", "nghttp"])
def test_a_push_without_any_credential_misses_its_token(name, simulator, control, tmp_path):
    push = Push()
    answer = CLIENTS[name](simulator, None, tmp_path).send(push)
    assert (answer.status, answer.reason) == (403, "MissingProviderToken")
    agree(answer, only_entry(control, push))


@pytest.mark.parametrize("name", CLIENTS)
def test_a_refused_certificate_is_answered_403(name, simulator, control, tmp_path):
    push = Push()
    refusal = {"answer": {"status": 403, "reason": "BadCertificate"}}
    control.post("/script", {"faults": [{"token": push.token, "act": refusal}]})
    answer = CLIENTS[name](simulator, Certificate(simulator), tmp_path).send(push)
    assert (answer.status, answer.reason) == (403, "BadCertificate")
    agree(answer, only_entry(control, push))


def test_a_second_token_within_twenty_minutes_is_one_too_many(simulator, control, tmp_path):
    credential = Token(simulator)
    first, second = Push(), Push()
    # ES256 signatures are random: two tokens of the same second differ.
    [(accepted, _), (refused, _)] = Curl(simulator, credential, tmp_path).send_all([first, second])
    assert accepted.status == 200
    assert (refused.status, refused.reason) == (429, "TooManyProviderTokenUpdates")
    agree(accepted, only_entry(control, first))
    agree(refused, only_entry(control, second))


@pytest.mark.parametrize("reason", ["Unregistered", "ExpiredToken"])
@pytest.mark.parametrize("timestamp", [1508249865488, None])
def test_a_dead_token_is_answered_410_with_its_timestamp(client, control, reason, timestamp):
    push = Push()
    control.post("/tokens", [{"token": push.token, "state": "dead", "reason": reason, "timestamp": timestamp}])
    answer = client.send(push)
    assert (answer.status, answer.reason, answer.timestamp) == (410, reason, timestamp)
    agree(answer, only_entry(control, push))


def test_hundreds_agree_one_by_one(aioapns, control):
    pushes = [Push() for _ in range(300)]
    dead = [{"token": push.token, "state": "dead", "timestamp": at} for at, push in enumerate(pushes) if at % 3 == 0]
    control.post("/tokens", dead)

    answers = aioapns.run(lambda session: session.send_all(pushes))
    entries = {entry["token"]: entry for entry in control.ledger()}
    assert len(entries) == len(pushes)
    for at, (push, answer) in enumerate(zip(pushes, answers)):
        agree(answer, entries[push.token])
        assert (answer.status, answer.timestamp) == ((410, at) if at % 3 == 0 else (200, None))


def test_a_token_connection_begins_with_one_stream(nghttp, credential, control):
    accepted = nghttp.frames(Push())
    limits = [1000] if isinstance(credential, Certificate) else [1, 1000]
    assert nghttp.read(accepted).status == 200
    assert nghttp.stream_limits(accepted) == limits
    refused = nghttp.frames(Push(topic="com example"))
    assert nghttp.stream_limits(refused) == limits[:1]


@pytest.mark.parametrize("kind, last", [("single", 1), ("graceful", LAST_ID_MAX), ("abrupt", 1)])
def test_aioapns_goes_on_on_a_new_connection_after_a_goaway(aioapns, control, kind, last):
    before, after = Push(), Push()

    async def work(session):
        first = await session.send(before)
        control.post("/script", {"goaway": {"when": "now", "kind": kind, "code": 0}})
        await session.disconnected()
        return first, await session.send(after), session.goaways

    first, second, goaways = aioapns.run(work)
    earlier, later = only_entry(control, before), only_entry(control, after)
    agree(first, earlier)
    agree(second, later)
    assert first.status == second.status == 200
    assert earlier["connection"] != later["connection"]
    assert goaways[0] == (last, 0, SHUTDOWN.encode())


def test_aioapns_resends_what_a_goaway_says_was_not_processed(aioapns, control):
    answers, entries = two_with_a_goaway_at_the_second(aioapns, control, {"kind": "single", "last_stream_id": 1})
    assert [answer.status for answer in answers] == [200, 200]
    assert [entry["processed"] for entry in entries] == [False, True]
    agree(answers[1], entries[1])


def test_aioapns_resends_what_lost_its_answer_and_the_ledger_has_both(aioapns, control):
    answers, entries = two_with_a_goaway_at_the_second(aioapns, control, {"kind": "abrupt"})
    assert [answer.status for answer in answers] == [200, 200]
    assert [(entry["accepted"], entry["answered"]) for entry in entries] == [(True, False), (True, True)]
    agree(answers[1], entries[1])


@pytest.mark.parametrize("kind", ["single", "graceful"])
def test_aioapns_does_not_wait_for_answers_that_follow_a_goaway(aioapns, control, kind):
    answers, entries = two_with_a_goaway_at_the_second(aioapns, control, {"kind": kind})
    assert [answer.status for answer in answers] == [200, 200]
    assert [(entry["accepted"], entry["answered"]) for entry in entries] == [(True, True), (True, True)]
    agree(answers[1], entries[1])


def two_with_a_goaway_at_the_second(aioapns, control, goaway):
    """Both answers, and the two entries of the second push: it was sent again on another connection."""
    pushes = [Push(), Push()]
    control.post("/script", {"goaway": {"when": {"connection_requests": 2}, "times": 1, **goaway}})

    async def work(session):
        return [await session.send(push) for push in pushes]

    answers = aioapns.run(work)
    agree(answers[0], only_entry(control, pushes[0]))
    entries = control.ledger(pushes[1].token)
    assert [entry["apns_id"] for entry in entries] == [pushes[1].apns_id] * 2
    assert entries[0]["connection"] != entries[1]["connection"]
    return answers, entries


@pytest.mark.parametrize("kind", [None, "single", "graceful"])
def test_curl_keeps_its_connection_until_a_goaway(curl, credential, control, kind):
    if kind:
        control.post("/script", {"goaway": {"when": {"requests": 1}, "kind": kind, "times": 1}})
    first, second = Push(), Push()
    # One token for both: with two, the second would be one too many.
    if isinstance(credential, Token):
        authorization = credential.authorization()
        credential.authorization = lambda: authorization
    [(one, connects), (two, more_connects)] = curl.send_all([first, second])
    earlier, later = only_entry(control, first), only_entry(control, second)
    agree(one, earlier)
    agree(two, later)
    assert one.status == two.status == 200
    assert (connects, more_connects) == (1, 1 if kind else 0)
    assert (earlier["connection"] != later["connection"]) == bool(kind)


TOO_MANY_STREAMS = "Maximum active streams violated for this endpoint."


@pytest.mark.parametrize(
    "goaway, code, debug",
    [
        ({"kind": "single"}, 0, SHUTDOWN),
        ({"kind": "graceful"}, 0, SHUTDOWN),
        ({"kind": "single", "code": 7, "debug": {"text": TOO_MANY_STREAMS}}, 7, TOO_MANY_STREAMS),
    ],
)
def test_nghttp_reads_goaway_frames_and_the_answer_after_them(nghttp, control, goaway, code, debug):
    control.post("/script", {"goaway": {"when": {"requests": 1}, "times": 1, **goaway}})
    push = Push()
    frames = nghttp.frames(push)
    entry = only_entry(control, push)
    agree(nghttp.read(frames), entry)
    last = LAST_ID_MAX if goaway["kind"] == "graceful" else entry["stream"]
    assert nghttp.goaways(frames)[0] == (last, code, debug)


@pytest.mark.parametrize("code, to", [(44, "certificate"), (45, "certificate"), (40, "hello")])
def test_curl_reads_the_alerts_that_the_simulator_sends(code, to, simulator, control, tmp_path):
    control.post("/script", {"connections": [{"times": 1, "act": {"alert": {"code": code, "to": to}}}]})
    curl, push = Curl(simulator, Certificate(simulator), tmp_path), Push()
    with pytest.raises(subprocess.CalledProcessError) as failed:
        curl.send(push)
    # OpenSSL numbers the reasons of alerts from 1000 on, and prints their names.
    name = {40: "handshake failure", 44: "certificate revoked", 45: "certificate expired"}[code]
    assert name in failed.value.stderr.decode()
    assert control.ledger(push.token) == []
    assert curl.send(push).status == 200


@pytest.mark.parametrize("flaw, exit_code", [("untrusted", 60), ("expired", 60), ("wrong_name", 60)])
def test_curl_refuses_the_certificates_that_are_wrong(flaw, exit_code, simulator, control, tmp_path):
    control.post("/script", {"connections": [{"times": 1, "act": {"certificate": flaw}}]})
    curl, push = Curl(simulator, Certificate(simulator), tmp_path), Push()
    with pytest.raises(subprocess.CalledProcessError) as failed:
        curl.send(push)
    assert failed.value.returncode == exit_code
    assert curl.send(push).status == 200


def test_nghttp_reads_the_goaway_that_follows_a_503_of_shutdown(nghttp, control):
    act = {"answer_and_goaway": {"status": 503, "reason": "Shutdown"}}
    control.post("/script", {"faults": [{"times": 1, "act": act}]})
    push = Push()
    frames = nghttp.frames(push)
    answer, entry = nghttp.read(frames), only_entry(control, push)
    assert (answer.status, answer.reason) == (503, "Shutdown")
    agree(answer, entry)
    assert nghttp.goaways(frames)[0] == (entry["stream"], 0, SHUTDOWN)
