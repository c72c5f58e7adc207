"""What is repeated, and what is not: nothing that a node may have acted on, unless the caller prefers duplicates."""

import contextlib
import socket
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


def test_a_proxys_refusal_with_retry_after_may_hide_a_send_and_is_not_repeated(scripted):
    def proxy(server, number, connection):
        server.read(number, connection, b"\r\n\r\n")
        if number == 0 or b"/healthz" not in server.received[number]:
            reply(connection, 503, b"<html>", b"Retry-After: 1\r\nConnection: close\r\n")
        else:
            reply(connection, 200, b'{"response": {"type": "health", "status": "ok"}, "code": 200}')

    server = scripted(proxy)
    with pytest.raises(pyapns.Overloaded) as failed:
        send(pyapns.Client([server.url, server.url]))
    assert failed.value.sent == "maybe" and len(server.received) == 1
    reading = scripted(proxy)
    assert pyapns.Client(reading.url).is_healthy() is True and len(reading.received) == 2


def test_a_change_is_repeated_after_the_store_gave_no_answer_unless_it_depends_on_a_revision(scripted):
    def away(server, number, connection):
        server.read(number, connection, b"\r\n\r\n")
        if number == 0:
            body = b'{"error": "no answer", "code": 503, "type": "error", "reason": "store_away", "args": {}}'
            reply(connection, 503, body, b"Retry-After: 1\r\nConnection: close\r\n")
        else:
            reply(connection, 200, b'{"response": {"type": "app"}, "code": 200}')

    server = scripted(away)
    assert pyapns.Client(server.url).provision("x", "sandbox", "PEM") == {"type": "app"}
    assert len(server.received) == 2
    for change in (
        lambda client: client.provision("x", "sandbox", "PEM", revision="1"),
        lambda client: client.remove("x", "sandbox"),
        lambda client: client.settle_held("x", "sandbox", "drop"),
    ):
        server = scripted(away)
        with pytest.raises(pyapns.Overloaded) as failed:
            change(pyapns.Client(server.url))
        assert (failed.value.reason, failed.value.sent, len(server.received)) == ("store_away", "maybe", 1)


def silent(server, number, connection):
    """A node that takes a request and never answers."""
    server.read(number, connection, b"never")


def test_the_time_limit_holds_for_all_nodes_together(scripted):
    client = pyapns.Client([scripted(silent).url for _ in range(4)], timeout=1)
    began = time.monotonic()
    with pytest.raises(pyapns.ConnectionFailed):
        client.is_healthy()
    assert time.monotonic() - began < 2


def test_after_a_node_that_does_not_answer_the_next_call_uses_the_next_node(scripted, pyapns_service, app):
    hung = scripted(silent)
    client = pyapns.Client([hung.url, pyapns_service.url], timeout=1)
    with pytest.raises(pyapns.ConnectionFailed, match="did not answer"):
        client.is_healthy()
    assert client.send(*app, "0a", {}).is_accepted and len(hung.received) == 1


def test_after_a_stream_that_broke_the_next_call_uses_the_next_node(scripted, pyapns_service, app):
    def breaks(server, number, connection):
        server.read(number, connection, b'"payload"')

    broken = scripted(breaks)
    client = pyapns.Client([broken.url, pyapns_service.url])
    with pytest.raises(pyapns.ConnectionFailed):
        list(client.stream(*app, [{"token": "0a", "payload": {}}]))
    assert client.send(*app, "0a", {}).is_accepted and len(broken.received) == 1


def test_a_changed_timeout_applies_to_connecting():
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        # With a full queue, Linux answers no further connection.
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            other = waiting.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        client = pyapns.Client(f"http://127.0.0.1:{listener.getsockname()[1]}")
        client.timeout = 0.5
        began = time.monotonic()
        with pytest.raises(pyapns.ConnectionFailed, match="cannot connect") as failed:
            client.is_healthy()
        assert failed.value.sent == "no" and time.monotonic() - began < 5


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 \xb200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 503 X\r\nContent-Length: 0\r\nRetry-After: \xb2\r\n\r\n",
    ],
    ids=["status", "length", "long length", "pause"],
)
def test_numbers_that_are_none_are_an_error_of_the_call(scripted, head):
    def odd(server, number, connection):
        server.read(number, connection, b"\r\n\r\n")
        connection.sendall(head)

    with pytest.raises(pyapns.ClientError):
        pyapns.Client(scripted(odd).url, retries=0).is_healthy()


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
