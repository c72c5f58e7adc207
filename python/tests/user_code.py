"""Code of a user of the package, as `mypy --strict` sees it. Each annotation is a promise of the package's types."""

from __future__ import annotations

from typing import Any, AsyncIterator, Dict, Iterator, List, Literal, Optional

import pyapns
from pyapns.aio import AsyncClient
from pyapns.client import Client, ClientError
from pyapns.model import (
    App,
    Channel,
    Disconnection,
    DisconnectionEvent,
    Feedback,
    HeldFeedback,
    Notification,
    Outcome,
    Page,
)
from pyapns.testing import Delivery, PushService, push_service


def send_orders(client: Client, tokens: List[str]) -> List[str]:
    dead: List[str] = []
    for token in tokens:
        outcome: Outcome = client.send("shop", "production", token, {"aps": {"alert": "Hello"}}, identifier=7)
        word: Literal["accepted", "rejected", "expired", "not_sent", "unknown"] = outcome.outcome
        if word == "rejected" and outcome.status == 410:
            dead.append(outcome.token)
    return dead


def stream(client: Client) -> Iterator[Outcome]:
    items = ({"token": f"{number:064x}", "payload": {"aps": {}}} for number in range(10))
    yield from client.stream("shop", "sandbox", items)
    yield from client.stream("shop", "sandbox", [Notification("0a", {"aps": {}})], retry_unknown=True)


def old(client: Client) -> None:
    outcomes: List[Dict[str, Any]] = client.notify("shop", "sandbox", [Notification("0a", {})])
    app: Dict[str, Any] = client.provision("shop", "sandbox", "cert.pem", 15)
    feedback: List[Dict[str, Any]] = client.feedback("shop", "sandbox")
    events: List[DisconnectionEvent] = client.disconnections("shop", "sandbox")
    print(outcomes, app, feedback, events)
    pyapns.configure({"HOST": "http://localhost:8088"})
    pyapns.notify("shop", "0a", {"aps": {}}, callback=print)


def lists(client: Client) -> None:
    page: Page[Feedback] = client.feedback_page("shop", "sandbox", limit=10)
    removed: int = client.acknowledge_feedback("shop", "sandbox", page.cursor)
    apps: List[App] = client.apps()
    held: HeldFeedback = client.held_feedback("shop", "sandbox")
    log: Page[Disconnection] = client.disconnections_page("shop", "sandbox")
    print(removed, apps, held, log)


def channels(client: Client) -> List[Outcome]:
    channel: Channel = client.create_channel("shop", "sandbox", 1)
    policy: Literal[0, 1, None] = channel.message_storage_policy
    found: List[Channel] = client.channels("shop", "sandbox")
    outcome: Outcome = client.broadcast("shop", "sandbox", found[0].id, {"aps": {}}, expiry=0, identifier=policy)
    outcomes: List[Outcome] = client.broadcast_list("shop", "sandbox", [{"channel": channel.id, "payload": {}}])
    client.delete_channel("shop", "sandbox", client.channel("shop", "sandbox", channel.id).id)
    return [outcome, *outcomes]


def errors(client: Client) -> Optional[float]:
    try:
        client.send("shop", "sandbox", "0a", {})
    except pyapns.Overloaded as error:
        return error.retry_after
    except pyapns.ConnectionFailed as error:
        sent: Literal["no", "maybe"] = error.sent
        print(sent)
    except ClientError as error:
        print(error.message, error.response)
    return None


async def asynchronous(client: AsyncClient) -> AsyncIterator[Outcome]:
    outcome: Outcome = await client.send("shop", "sandbox", "0a", {})
    yield outcome
    async for one in client.stream("shop", "sandbox", [{"token": "0a", "payload": {}}]):
        yield one


def in_tests() -> List[Delivery]:
    with push_service() as service:
        running: PushService = service
        return running.ledger.accepted()
