"""What is repeated, and what is not: nothing that a node may have acted on, unless the caller prefers duplicates."""

import time

import pytest

import pyapns

OUTCOME = b'{"response": {"outcome": "accepted", "token": "0a"}, "code": 201}'


def reply(connection, status=201, body=OUTCOME, fields=b""):
    head = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%b\r\n" % (status, len(body), fields)
    connection.sendall(head + body)


def read_request(server, number, connection):
    """Read a request with a short body."""
    server.read(number, connection, b'"payload"')


def send(client, **options):
    return client.send("x", "sandbox", "0a", {}, **options)


def test_a_send_that_may_have_arrived_is_not_repeated(scripted):
    server = scripted(read_request)
    with pytest.raises(pyapns.ConnectionFailed) as failed:
        send(pyapns.Client(server.url), identifier="one")
    assert failed.value.sent == "maybe" and len(server.received) == 1


def test_a_send_is_repeated_if_the_caller_prefers_duplicates_and_names_it(scripted):
    def second_time(server, number, connection):
        read_request(server, number, connection)
        if number == 1:
            reply(connection)

    server = scripted(second_time)
    client = pyapns.Client(server.url)
    assert send(client, identifier="one", retry_unknown=True).is_accepted
    assert len(server.received) == 2 and b"retry_unknown=true" in server.received[0]
    nameless = scripted(read_request)
    with pytest.raises(pyapns.ConnectionFailed):
        send(pyapns.Client(nameless.url), retry_unknown=True)
    assert len(nameless.received) == 1


def test_a_call_that_only_reads_is_repeated(scripted):
    def second_time(server, number, connection):
        server.read(number, connection, b"\r\n\r\n")
        if number == 1:
            reply(connection, 200, b'{"response": {"type": "health", "status": "ok"}, "code": 200}')

    assert pyapns.Client(scripted(second_time).url).is_healthy() is True


def test_a_refusal_with_retry_after_is_repeated_after_that_time(scripted):
    def second_time(server, number, connection):
        read_request(server, number, connection)
        if number == 0:
            refusal = (
                b'{"error": "limit reached", "code": 429, "type": "error", "reason": "app_overloaded", "args": {}}'
            )
            reply(connection, 429, refusal, b"Retry-After: 1\r\nConnection: close\r\n")
        else:
            reply(connection)

    began = time.monotonic()
    assert send(pyapns.Client(scripted(second_time).url)).is_accepted
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("retry_after, retries", [(b"", 2), (b"Retry-After: 1\r\n", 0), (b"Retry-After: 60\r\n", 2)])
def test_a_refusal_is_raised_when_it_cannot_be_repeated_in_time(scripted, retry_after, retries):
    def refuse(server, number, connection):
        read_request(server, number, connection)
        body = b'{"error": "busy", "code": 503, "type": "error", "reason": "overloaded", "args": {"limit": 7}}'
        reply(connection, 503, body, retry_after + b"X-Request-Id: r1\r\nConnection: close\r\n")

    server = scripted(refuse)
    with pytest.raises(pyapns.Overloaded) as failed:
        send(pyapns.Client(server.url, retries=retries))
    error = failed.value
    assert (error.status, error.reason, error.details, error.sent) == (503, "overloaded", {"limit": 7}, "no")
    assert (error.request_id, str(error)) == ("r1", "busy") and len(server.received) == 1


def test_an_error_of_a_proxy_may_hide_a_send(scripted):
    def proxy(server, number, connection):
        read_request(server, number, connection)
        reply(connection, 502, b"<html>Bad Gateway</html>", b"Connection: close\r\n")

    with pytest.raises(pyapns.ApiError) as failed:
        send(pyapns.Client(scripted(proxy).url))
    assert (failed.value.status, failed.value.reason, failed.value.sent) == (502, None, "maybe")


def test_the_next_address_is_used_when_one_cannot_be_reached_and_it_is_kept(pyapns_service, app, closed_url):
    client = pyapns.Client([closed_url, pyapns_service.url])
    for number in range(3):
        assert client.send(*app, "0a", {"aps": {"badge": number}}).is_accepted
    assert client._pool._first == 1


def test_a_node_that_stops_hands_over_to_the_next_address(scripted, pyapns_service, app):
    def stopping(server, number, connection):
        read_request(server, number, connection)
        body = b'{"error": "it stops", "code": 503, "type": "error", "reason": "shutting_down", "args": {}}'
        reply(connection, 503, body, b"Retry-After: 1\r\nConnection: close\r\n")

    began = time.monotonic()
    assert pyapns.Client([scripted(stopping).url, pyapns_service.url]).send(*app, "0a", {}).is_accepted
    assert time.monotonic() - began < 1


def test_without_a_node_the_error_says_that_nothing_was_sent(closed_url):
    with pytest.raises(pyapns.ConnectionFailed, match="cannot connect to 127.0.0.1") as failed:
        send(pyapns.Client([closed_url, closed_url], retries=1))
    assert failed.value.sent == "no"


def test_the_time_limit_ends_a_call_without_an_answer(scripted):
    def silent(server, number, connection):
        read_request(server, number, connection)
        server.read(number, connection, b"never")

    began = time.monotonic()
    with pytest.raises(pyapns.ConnectionFailed, match="did not answer") as failed:
        pyapns.Client(scripted(silent).url, timeout=0.3)._pool.perform(_wait_shortly())
    assert failed.value.sent == "maybe" and time.monotonic() - began < 5


def _wait_shortly():
    from pyapns import _calls

    return _calls.Call("POST", "/apps/x/sandbox/notifications", _calls.response, b'{"payload": 1}')


def test_a_connection_that_the_node_closed_meanwhile_is_replaced_before_anything_is_written(scripted):
    def once(server, number, connection):
        read_request(server, number, connection)
        reply(connection)

    server = scripted(once)
    client = pyapns.Client(server.url, retries=0)
    assert send(client).is_accepted
    idle = client._pool._idle[0][0]
    while idle.is_usable():
        time.sleep(0.01)
    assert send(client).is_accepted and len(server.received) == 2


def test_a_request_that_the_node_does_not_take_whole_was_not_sent(scripted):
    def closes(server, number, connection):
        server.read(number, connection, b"\r\n\r\n")

    huge = [{"token": "0a", "payload": {"text": "x" * 4000}} for _ in range(5000)]
    with pytest.raises(pyapns.ConnectionFailed, match="did not take the request") as failed:
        pyapns.Client(scripted(closes).url, retries=0).send_list("x", "sandbox", huge)
    assert failed.value.sent == "no"


def test_an_answer_before_the_end_of_the_request_is_the_answer(client, app):
    huge = [{"token": "0a", "payload": {"text": "x" * 4000}} for _ in range(5000)]
    with pytest.raises(pyapns.ApiError) as failed:
        client.send_list(*app, huge)
    assert (failed.value.status, failed.value.reason) == (413, "body_too_large")


@pytest.mark.parametrize(
    "host", ["ftp://x", "http://", "http://user:secret@host", "http://host?x=1", [], "http://host:port"]
)
def test_what_is_no_address_of_a_node_is_a_value_error_without_secrets(host):
    with pytest.raises(ValueError) as failed:
        pyapns.Client(host)
    assert "secret" not in str(failed.value)


def test_errors_pass_through_pickle_as_other_processes_pass_them_on():
    import pickle

    error = pyapns.Overloaded("busy", {"reason": "overloaded"}, status=503, retry_after=1.0)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is pyapns.Overloaded and copy.__dict__ == error.__dict__ and str(copy) == "busy"
