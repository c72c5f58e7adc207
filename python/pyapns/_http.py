"""HTTP/1.1 as bytes, without input or output: the fields of a request, and the reader of a response."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence, Tuple

HEAD_BYTES_MAX = 65536
LENGTH_DIGITS_MAX = 15
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_TARGET = re.compile(r"[\x21-\x7e]*\Z")
_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}\Z")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class MalformedResponse(ValueError):
    """The bytes are not an HTTP/1.1 response."""


def checked_fields(fields: Sequence[Tuple[str, str]]) -> str:
    """Return header fields as they go out.

    Raises:
        ValueError: a field that would end the line or the head.
    """
    for name, value in fields:
        if not _FIELD.match(name) or _BAD_VALUE.search(value):
            raise ValueError(f"the header {name!r} has a character that HTTP does not allow: correct it")
    return "".join(f"{name}: {value}\r\n" for name, value in fields)


def is_target(text: str) -> bool:
    """Return true if a text can be the path and query of a request."""
    return _TARGET.match(text) is not None


def chunk(data: bytes) -> bytes:
    """Return a chunk of a chunked body. Without data it is the end of the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class ResponseReader:
    """The reader of one response. Feed it bytes; `take` returns what has arrived of the body."""

    __slots__ = ("status", "headers", "is_complete", "keeps_alive", "_buffer", "_body", "_left", "_step")

    def __init__(self) -> None:
        self.status = 0
        self.headers: Dict[str, str] = {}
        self.is_complete = False
        self.keeps_alive = False
        self._buffer = bytearray()
        self._body: List[bytes] = []
        # The missing bytes of the body or the chunk; None is a body that ends with the connection.
        self._left: Optional[int] = 0
        self._step = self._head

    @property
    def has_head(self) -> bool:
        """True once status and headers have arrived."""
        return self.status >= 200

    def feed(self, data: bytes) -> None:
        """Take bytes from the connection.

        Raises:
            MalformedResponse: they are not a response.
        """
        self._buffer += data
        while not self.is_complete and self._step():
            pass
        if self.is_complete and self._buffer:
            self.keeps_alive = False

    def end(self) -> bool:
        """Note the end of the connection. Return true if the response is complete."""
        if self.has_head and self._left is None:
            self.is_complete = True
        self.keeps_alive = False
        return self.is_complete

    def take(self) -> bytes:
        """Return the bytes of the body that arrived since the last call."""
        body = self._body
        if len(body) == 1:
            return body.pop()
        joined = b"".join(body)
        body.clear()
        return joined

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise MalformedResponse("the head of the response is too long")
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        version, _, rest = lines[0].partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
            raise MalformedResponse("the response does not begin as HTTP/1.1 does")
        self.status = int(rest[:3])
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if 100 <= self.status < 200:
            return True
        self.headers = headers
        self.keeps_alive = version == "HTTP/1.1" and "close" not in headers.get("connection", "").lower()
        self._frame(headers)
        return True

    def _frame(self, headers: Dict[str, str]) -> None:
        """Choose the reader of the body (RFC 9112, 6.3)."""
        if self.status in (204, 304):
            self.is_complete = True
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            self._step = self._chunk_size
        elif "content-length" in headers:
            length = headers["content-length"]
            if not length.isdecimal() or len(length) > LENGTH_DIGITS_MAX:
                raise MalformedResponse("the length of the response is not a number")
            self._left = int(length)
            self.is_complete = self._left == 0
            self._step = self._whole
        else:
            self._left = None
            self.keeps_alive = False
            self._step = self._rest

    def _whole(self) -> bool:
        self.is_complete = self._some()
        return False

    def _rest(self) -> bool:
        self._body.append(bytes(self._buffer))
        self._buffer.clear()
        return False

    def _some(self) -> bool:
        """Move bytes to the body. Return true if none are missing."""
        left = self._left or 0
        part = bytes(self._buffer[:left])
        if part:
            del self._buffer[: len(part)]
            self._body.append(part)
            self._left = left - len(part)
        return self._left == 0

    def _line(self) -> Optional[bytes]:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise MalformedResponse("a line of the response is too long")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        size = line.split(b";", 1)[0].strip()
        if not _SIZE.match(size):
            raise MalformedResponse("the length of a chunk is not a number")
        self._left = int(size, 16)
        self._step = self._chunk_data if self._left else self._trailer
        return True

    def _chunk_data(self) -> bool:
        if not self._some():
            return False
        self._step = self._chunk_end
        return True

    def _chunk_end(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            raise MalformedResponse("a chunk is longer than its length")
        self._step = self._chunk_size
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self.is_complete = line == b""
        return not self.is_complete
