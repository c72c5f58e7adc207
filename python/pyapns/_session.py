"""The settings of a client: the nodes' addresses, and what every request and connection carries."""

from __future__ import annotations

import base64
import ssl
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union
from urllib.parse import urlsplit

from . import _http

Host = Union[str, Sequence[str]]
# Headers that the client writes itself.
OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-type"})


class Address(NamedTuple):
    """The address of a node: TCP, or the path of a Unix socket."""

    host: str
    port: int
    tls: bool = False
    prefix: str = ""
    path: Optional[str] = None

    @property
    def name(self) -> str:
        """The value of the header `Host`, and the name in errors."""
        if self.path is not None:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.path is not None else self.name


def parse_address(text: str, port: int) -> Address:
    """Return the address of a URL; `port` is that of a URL without one.

    Raises:
        ValueError: the text is not the URL of a node.
    """
    if text.startswith("unix:"):
        return Address("localhost", 0, path=text[len("unix:") :])
    url = urlsplit(text if "://" in text else f"http://{text}")
    has_more = url.query or url.fragment or not _http.is_target(url.path)
    if url.scheme not in ("http", "https") or not url.hostname or has_more:
        raise ValueError(f"{text!r} is not the URL of a node: write http://HOST:PORT, https://HOST:PORT or unix:PATH")
    if url.username is not None or url.password is not None:
        raise ValueError("the URL of a node has no password: give the API key as `key`")
    return Address(url.hostname, url.port or port, url.scheme == "https", url.path.rstrip("/"))


def parse_addresses(host: Host, port: int, unix_socket: Optional[str]) -> List[Address]:
    """Return the addresses in their order; without TCP if there is a Unix socket."""
    if unix_socket is not None:
        return [Address("localhost", 0, path=unix_socket)]
    hosts = [host] if isinstance(host, str) else list(host)
    if not hosts:
        raise ValueError("no node is given: `host` is a URL or a list of them")
    return [parse_address(one, port) for one in hosts]


class Session:
    """The `connection` of a client. A change applies to the next request or connection.

    `headers` go with every request. `auth` is user and password, which are an API key's id and secret. `verify` is
    `False`, `True` or a file of trusted authorities. `cert` is the client certificate: a PEM file, or file and key.
    """

    def __init__(self, key: Optional[str], ca: Optional[str]) -> None:
        self.headers: Dict[str, str] = {}
        self.auth: Optional[Tuple[str, str]] = None
        self.verify: Union[bool, str] = True if ca is None else ca
        self.cert: Union[str, Tuple[str, str], None] = None
        self._key = key
        self._tls: Optional[ssl.SSLContext] = None
        self._tls_of: object = None
        # The fields that every request has, and what they were made of.
        self._known: Tuple[object, str] = (None, "")

    def __repr__(self) -> str:
        # Neither key nor password.
        return f"<Session verify={self.verify!r}>"

    def head(self, address: Address, method: str, target: str, fields: Sequence[Tuple[str, str]]) -> bytes:
        """Return the head of a request to a node. `target` and `fields` come from this package."""
        own = "".join([f"{name}: {value}\r\n" for name, value in fields])
        return f"{method} {address.prefix}{target} HTTP/1.1\r\n{self._common(address)}{own}\r\n".encode("latin-1")

    def _common(self, address: Address) -> str:
        """Return the fields that every request to a node has."""
        now = (address, self.auth, tuple(self.headers.items()))
        # Threads may do this at the same time: what is known is replaced whole.
        known = self._known
        if known[0] != now:
            fields = [("Host", address.name)]
            authorization = self._authorization()
            if authorization is not None:
                fields.append(("Authorization", authorization))
            for name, value in self.headers.items():
                lower = name.lower()
                if lower not in OWN_HEADERS and not (lower == "authorization" and authorization):
                    fields.append((name, value))
            self._known = known = (now, _http.checked_fields(fields))
        return known[1]

    def _authorization(self) -> Optional[str]:
        if self.auth is not None:
            pair = f"{self.auth[0]}:{self.auth[1]}"
            return "Basic " + base64.b64encode(pair.encode()).decode("ascii")
        return None if self._key is None else f"Bearer {self._key}"

    def tls(self) -> ssl.SSLContext:
        """Return the TLS settings of the next connection."""
        now = (self.verify, self.cert)
        if self._tls is None or self._tls_of != now:
            context = ssl.create_default_context(cafile=self.verify if isinstance(self.verify, str) else None)
            if self.verify is False:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if isinstance(self.cert, str):
                context.load_cert_chain(self.cert)
            elif self.cert is not None:
                context.load_cert_chain(*self.cert)
            self._tls, self._tls_of = context, now
        return self._tls
