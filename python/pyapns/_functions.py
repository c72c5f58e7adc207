"""The functions of pyapns 0.4, over REST: `configure`, `provision`, `notify`, `feedback`.

They name an app by its id alone. Its environment is the one that this process provisioned it in, or else the only one
in which the node has it.
"""

from __future__ import annotations

import datetime
import functools
import importlib
import logging
import os
import threading
import warnings
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union
from urllib.parse import urlsplit, urlunsplit

from ._sync import Client
from .errors import APNSNotConfigured, UnknownAppID
from .model import naive_utc

log = logging.getLogger("pyapns")

Callback = Callable[[Any], Any]

# `HOST`, `TIMEOUT` in seconds, `INITIAL` as `(app_id, cert, environment[, timeout])` tuples, and `KEY`, an API key.
OPTIONS: Dict[str, Any] = {"CONFIGURED": False, "TIMEOUT": 20}

# The ports of 0.4, which spoke XML-RPC, and of REST.
XML_RPC_PORT = 7077
REST_PORT = 8088

_environments: Dict[str, str] = {}
_client: Optional[Client] = None
# Reentrant: `configure` provisions the apps of INITIAL.
_lock = threading.RLock()


def configure(opts: Optional[Mapping[str, Any]] = None) -> bool:
    """Set `OPTIONS`, and provision the apps of `INITIAL`. Only the first call has an effect.

    Django's setting `PYAPNS_CONFIG` comes before `opts`, and Pylons's `pyapns_host` and `pyapns_timeout` after it.
    """
    if OPTIONS["CONFIGURED"]:
        return True
    found = _django_options() or dict(opts or {}) or _pylons_options()
    if not found.get("HOST"):
        return False
    OPTIONS.update(found)
    OPTIONS["CONFIGURED"] = True
    for app in OPTIONS.get("INITIAL") or ():
        provision(*app)
    return True


def _django_options() -> Dict[str, Any]:
    try:
        settings = importlib.import_module("django.conf").settings
        return dict(getattr(settings, "PYAPNS_CONFIG", None) or {})
    except Exception:
        # No Django, or no settings for it.
        return {}


def _pylons_options() -> Dict[str, Any]:
    try:
        config = importlib.import_module("pylons").config
        names = {"HOST": "pyapns_host", "TIMEOUT": "pyapns_timeout"}
        found = {option: config[name] for option, name in names.items() if name in config}
        if "TIMEOUT" in found:
            found["TIMEOUT"] = float(found["TIMEOUT"])
        return found if "HOST" in found else {}
    except Exception:
        return {}


def _configured_client() -> Client:
    """Return the client of the options. It is made once."""
    global _client
    with _lock:
        if _client is None and not OPTIONS["CONFIGURED"] and not configure():
            raise APNSNotConfigured("APNS Has not been configured.")
        if _client is None:
            _client = _connect(OPTIONS)
        return _client


def _connect(options: Mapping[str, Any]) -> Client:
    host = options["HOST"]
    client = _client_of(host, options)
    if not isinstance(host, str) or f":{XML_RPC_PORT}" not in host or _answers(client):
        return client
    # The address in settings of 0.4 is that of XML-RPC.
    url = urlsplit(host if "://" in host else f"http://{host}")
    rest = urlunsplit((url.scheme, (url.netloc).replace(f":{XML_RPC_PORT}", f":{REST_PORT}"), "", "", ""))
    warnings.warn(f"pyapns speaks REST: {host} does not answer, {rest} is used; change the option HOST", stacklevel=4)
    return _client_of(rest, options)


def _client_of(host: Any, options: Mapping[str, Any]) -> Client:
    return Client(host, REST_PORT, float(options["TIMEOUT"]), key=options.get("KEY"))


def _forget_lock() -> None:
    """Replace the lock in a forked process: another thread of the parent may hold it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


def _answers(client: Client) -> bool:
    try:
        return client.is_healthy()
    except Exception:
        return False


def _environment(client: Client, app_id: str) -> str:
    known = _environments.get(app_id)
    if known is not None:
        return known
    found = [app.environment for app in client.apps() if app.app_id == app_id]
    if len(found) != 1:
        fault = "is not provisioned" if not found else "is provisioned in both environments"
        raise UnknownAppID(f"the app {app_id} {fault}: call provision() with its certificate and environment first")
    _environments[app_id] = found[0]
    return found[0]


def reprovision_and_retry(func: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a call so that, if its app is unknown, the apps of `INITIAL` are provisioned and it is made again."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return func(*args, **kwargs)
        except UnknownAppID:
            initial = OPTIONS.get("INITIAL")
            if not initial:
                raise
        for app in initial:
            provision(*app)
        return func(*args, **kwargs)

    return wrapper


def default_callback(func: Callback) -> Callback:
    """Decorate a function of one argument; kept from 0.4, where it made the default callback."""

    @functools.wraps(func)
    def wrapper(result: Any) -> Any:
        return func(result)

    return wrapper


def _is_async(async_: bool, old: Dict[str, Any]) -> bool:
    """Return the argument `async`, a word that Python 3.7 took: `**{"async": True}` passes it, too."""
    wanted = bool(old.pop("async", async_))
    if old:
        raise TypeError(f"unexpected arguments: {', '.join(sorted(old))}")
    return wanted


def _run(
    work: Callable[[], Any], in_background: bool, callback: Optional[Callback], errback: Optional[Callback]
) -> Any:
    """Do the work here, or in a thread. The callback's value is the result."""

    def done() -> Any:
        try:
            result = work()
        except Exception as error:
            if errback is not None:
                return errback(error)
            if not in_background:
                raise
            log.exception("a call in the background failed, and has no errback")
            return None
        return result if callback is None else callback(result)

    if not in_background:
        return done()
    threading.Thread(target=done, name="pyapns", daemon=True).start()
    return None


def provision(
    app_id: str,
    path_to_cert: str,
    environment: str,
    timeout: int = 15,
    async_: bool = False,
    callback: Optional[Callback] = None,
    errback: Optional[Callback] = None,
    **old: Any,
) -> Any:
    """Provision an app with a certificate: PEM, a file here (PEM or PKCS#12), or a path on the server."""
    in_background = _is_async(async_, old)

    def work() -> None:
        # Known first: a notification that a thread sends meanwhile goes to this environment.
        before = _environments.get(app_id)
        _environments[app_id] = environment
        try:
            _configured_client().provision(app_id, environment, timeout=timeout, **_credential(path_to_cert))
        except BaseException:
            if before is None:
                _environments.pop(app_id, None)
            else:
                _environments[app_id] = before
            raise

    return _run(work, in_background, callback, errback)


def _credential(path_or_pem: str) -> Dict[str, Any]:
    """Return the credential of a file that this process can read, else the text as it is."""
    if "-----BEGIN" in path_or_pem or not os.path.isfile(path_or_pem):
        return {"certificate": path_or_pem}
    with open(path_or_pem, "rb") as file:
        content = file.read()
    return {"certificate": content} if b"-----BEGIN" in content else {"pkcs12": content}


def notify(
    app_id: str,
    tokens: Union[str, Sequence[str]],
    notifications: Union[Mapping[str, Any], Sequence[Mapping[str, Any]]],
    async_: bool = False,
    callback: Optional[Callback] = None,
    errback: Optional[Callback] = None,
    **old: Any,
) -> Any:
    """Send a payload to a token, one payload to many tokens, or payloads to tokens in pairs.

    The result, which the callback gets, is the list of outcomes as the API writes them.
    """
    in_background = _is_async(async_, old)
    items = _pairs(tokens, notifications)

    @reprovision_and_retry
    def work() -> List[Dict[str, Any]]:
        client = _configured_client()
        return client.notify(app_id, _environment(client, app_id), items)

    return _run(work, in_background, callback, errback)


def _pairs(tokens: Any, payloads: Any) -> List[Dict[str, Any]]:
    tokens = [tokens] if isinstance(tokens, str) else list(tokens)
    payloads = [payloads] if isinstance(payloads, Mapping) else list(payloads)
    if len(payloads) == 1:
        payloads = payloads * len(tokens)
    if len(tokens) == 1:
        tokens = tokens * len(payloads)
    if len(tokens) != len(payloads):
        raise ValueError(f"{len(tokens)} tokens and {len(payloads)} payloads do not make pairs: give as many of each")
    return [{"token": token.replace(" ", ""), "payload": payload} for token, payload in zip(tokens, payloads)]


def feedback(
    app_id: str,
    async_: bool = False,
    callback: Optional[Callback] = None,
    errback: Optional[Callback] = None,
    **old: Any,
) -> Any:
    """Return the dead tokens as `[datetime in UTC, token]`, and delete them from the node."""
    in_background = _is_async(async_, old)

    @reprovision_and_retry
    def work() -> List[List[Union[datetime.datetime, str]]]:
        client = _configured_client()
        entries = client.feedback(app_id, _environment(client, app_id))
        return [[naive_utc(entry["timestamp"]), entry["token"]] for entry in entries]

    return _run(work, in_background, callback, errback)
