"""A stream of lines without input or output: notifications become lines, and lines become outcomes.

Each item that was taken ends in exactly one outcome, whatever happens to the connection.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any, Deque, Iterator, List, Optional, Sequence, Tuple

from ._calls import Reply, simple, to_bytes
from ._http import MalformedResponse, ResponseReader, chunk
from ._words import OutcomeWord
from .errors import ApiError
from .model import Outcome

# The most items without an outcome: a node with a slow Apple must not make the client's memory grow.
UNANSWERED_MAX = 10_000
# A group of lines goes out at this size at the latest.
GROUP_BYTES = 65536
# The time for which items are taken before something else has its turn.
SLICE_SECONDS = 0.001
# A node closes a stream that is silent for 75 seconds. After this time the client opens another one.
SILENT_SECONDS = 60.0
# Far above the length of an outcome.
LINE_BYTES_MAX = 1 << 20

CONTENT_TYPE = "application/x-ndjson"
FIELDS: Sequence[Tuple[str, str]] = (("Content-Type", CONTENT_TYPE), ("Transfer-Encoding", "chunked"))


class Lines:
    """The items of a stream that have no outcome yet, and the reader of the answer."""

    def __init__(self) -> None:
        self._unanswered: Deque[Tuple[Any, str]] = deque()
        self._group: List[bytes] = []
        self._bytes = 0
        self._rest = b""
        self.reader = ResponseReader()

    @property
    def unanswered(self) -> int:
        """The number of items without an outcome."""
        return len(self._unanswered)

    @property
    def is_full(self) -> bool:
        """True if no further item should be taken now."""
        return self._bytes >= GROUP_BYTES or len(self._unanswered) >= UNANSWERED_MAX

    @property
    def has_group(self) -> bool:
        """True if lines wait to go out."""
        return self._bytes > 0

    @property
    def is_first_of_group(self) -> bool:
        """True if one line waits."""
        return len(self._group) == 1

    def add(self, item: Any) -> None:
        """Take an item: its line joins the group.

        Raises:
            ValueError, TypeError: the item is no notification, or is not JSON. It is not taken.
        """
        fields = simple(item)
        line = to_bytes(fields) + b"\n"
        self._group.append(line)
        self._bytes += len(line)
        token = fields.get("token")
        self._unanswered.append((fields.get("identifier"), token if isinstance(token, str) else ""))

    def take_group(self) -> bytes:
        """Return the group as a chunk of the request's body."""
        data = b"".join(self._group)
        self._group.clear()
        self._bytes = 0
        return chunk(data)

    def feed(self, data: bytes) -> Iterator[Outcome]:
        """Yield the outcomes in the bytes that arrived. Read it to its end.

        Raises:
            MalformedResponse: they are not the answer to a stream.
        """
        self.reader.feed(data)
        if not self.is_accepted:
            return
        lines = (self._rest + self.reader.take()).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LINE_BYTES_MAX:
            raise MalformedResponse("a line of the answer is too long")
        for line in lines:
            if line:
                yield self._outcome(line)

    def _outcome(self, line: bytes) -> Outcome:
        try:
            outcome = Outcome.from_simple(json.loads(line))
            self._unanswered.popleft()
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as why:
            raise MalformedResponse(f"a line of the answer is no outcome of this stream ({why!r})") from None
        return outcome

    @property
    def is_accepted(self) -> bool:
        """True if the node answers with outcomes."""
        return 200 <= self.reader.status < 300

    def refusal(self) -> ApiError:
        """Return the error that the node answered with in place of outcomes."""
        reader = self.reader
        return Reply(reader.status, reader.headers, reader.take()).error("the node refused the stream")

    def refused(self, error: ApiError) -> List[Outcome]:
        """Return the outcomes of all items after the node refused the stream."""
        word: OutcomeWord = "not_sent" if error.sent == "no" else "unknown"
        return self._ended(len(self._unanswered), word, error.reason or "connection_lost", error.message)

    def lost(self, unwritten: int, why: str) -> List[Outcome]:
        """Return the outcomes of all items after the connection ended; the last `unwritten` were not written.

        Items of the group are not counted in `unwritten`.
        """
        unwritten += len(self._group)
        written = len(self._unanswered) - unwritten
        unknown = self._ended(written, "unknown", "connection_lost", why)
        return unknown + self._ended(unwritten, "not_sent", "connection_lost", why)

    def _ended(self, count: int, word: OutcomeWord, reason: str, error: str) -> List[Outcome]:
        ended, now = [], time.time()
        for _ in range(count):
            identifier, token = self._unanswered.popleft()
            ended.append(Outcome(word, token, identifier, reason=reason, timestamp=now, error=error))
        return ended


def why_ended(error: Optional[BaseException]) -> str:
    """Return the cause of the end of a connection, as a part of a sentence."""
    return str(error) if error is not None and str(error) else "it closed the connection"
