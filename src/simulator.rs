//! Apple's stand-in: a gateway that checks what Apple checks, breaks as Apple breaks, and keeps a ledger of the truth.
//!
//! It restates Apple's rules on its own and shares no code or table with the client side, so that a mistake there
//! cannot confirm itself. Tests start it in their process with [`Simulator::start`]; `pyapns simulator` runs it alone.
//!
//! # Control port
//!
//! JSON over HTTP/1. Success is 200; a refused call is answered with 4xx and `{"error": "<sentence>"}` and changes
//! nothing. Unknown fields are refused by name.
//!
//! `GET /` answers `{"totals", "ledger": "full"|"counts", "tokens": <listed>, "script", "now_ms"}`.
//!
//! `GET /ledger?cursor=&limit=` answers `{"entries": […], "cursor", "totals"}`: up to `limit` entries (1000 unless
//! given, 10,000 at most) from sequence number `cursor` on; the `cursor` answered asks for what follows. The fields of
//! an entry are those of [`ledger::Entry`]; `body` is a string, or `{"base64": "…"}` when it is not UTF-8.
//!
//! `POST /script` replaces the script; what is left out is off:
//!
//! ```json
//! {"seed": 7,
//!  "latency": {"fixed_ms": 20},
//!  "goaway": {"when": {"requests": 500}, "kind": "graceful", "code": 0, "debug": {"reason": "Shutdown"},
//!             "second_after_ms": 50, "times": 3},
//!  "faults": [{"every": 10, "act": {"reset": {"code": 7, "processed": false}}},
//!             {"percent": 1.5, "for_ms": 2000, "act": {"answer": {"status": 503, "reason": "ServiceUnavailable"}}},
//!             {"token": "00ff", "times": 1, "act": {"silence": {"processed": true}}},
//!             {"connection": 1, "stream": 9,
//!              "act": {"poison": {"status": 403, "reason": "ExpiredProviderToken", "for_ms": 60000}}},
//!             {"act": {"odd": {"apns_id": false, "headers": [["x-new", "1"]], "continuation": true}}}],
//!  "token_rate": {"limit": 3, "seconds": 60},
//!  "settings": {"first": {"max_concurrent_streams": 500}, "delay": {"ms": 300}, "choke": true,
//!               "changes": [{"at": {"requests": 100}, "set": {"max_concurrent_streams": 1}},
//!                           {"at": {"ms": 2000}, "set": {"max_concurrent_streams": 500, "header_table_size": 0}}],
//!               "violation": "goaway"},
//!  "error_budget": {"errors": 100, "bad_device_tokens": 20, "kind": "single", "code": 11, "debug": {"text": "enough"}},
//!  "connections": [{"times": 1, "act": {"break": {"at": {"answers": 5}, "how": "silence"}}},
//!                  {"percent": 20.0, "act": {"alert": {"code": 44, "to": "certificate"}}},
//!                  {"listener": 0, "every": 2, "act": {"certificate": "expired"}}],
//!  "listeners": [{"listener": 0, "state": "stalled", "for_ms": 5000}],
//!  "connect_rate": {"limit": 10, "seconds": 1, "block_ms": 5000, "how": "close"},
//!  "record_headers": true}
//! ```
//!
//! - `latency`: `{"fixed_ms": n}`, `{"uniform_ms": [low, high]}`, `{"log_normal_ms": {"median", "sigma", "max"}}` or
//!   `{"empirical_ms": [measured]}`.
//! - `goaway.when`: `"now"`, `"connect"`, `{"requests": n}` (every n-th over the whole simulator) or
//!   `{"connection_requests": n}`; `kind`: `"graceful"`, `"single"`, `"abrupt"` or `"cut"`; `debug`: `{"reason"}`,
//!   `{"text"}` or `{"base64"}`; `close`: `"drained"`, `{"after_ms": n}` or `"never"` (what comes later is refused);
//!   `second_empty`, `last_stream_id` and `unanswered` as in [`script::GoAway`].
//! - `faults`: the first whose conditions (`every`, `percent`, `token`, `connection`, `stream`, `times`, `after_ms`,
//!   `for_ms`) all hold is applied; none given holds always. `poison` answers so to all later requests of the connection,
//!   too. Every `act` is one of [`script::Act`].
//! - `settings`: fields of the frames are `header_table_size`, `max_concurrent_streams`, `initial_window_size`,
//!   `max_frame_size` and `max_header_list_size`; `delay`: `{"ms": n}` or `"never"`; `choke`: one stream after each
//!   rejection until the next success; `connection`: this one only; `violation`: `"refuse"` or `"goaway"`.
//! - `odd` answers: `status` (absent: what the rules decide), `apns_id`, `headers`, `body` (like `debug`; an empty text is
//!   none), `trailers`, `continuation`, `table_size`, `informational` (a list of 1xx) and `reset`, as in [`script::Odd`].
//! - `record_headers`: entries of connections to come carry `headers`, each field with its `form`: `"indexed"`,
//!   `"incremental"`, `"literal"` or `"never"`.
//! - `error_budget`: so many 4xx (410 apart) on a connection end it.
//! - `connections`: the first whose conditions (`listener`, `every`, `percent`, `times`, `for_ms`) all hold is applied to
//!   a connection, as it is accepted. `act`: `{"break": {"at", "how"}}` with `at`: `"accept"`, `"tls"`, `"settings"`,
//!   `{"answers": n}`, `{"bytes_in": n}`, `{"bytes_out": n}` or `{"idle_ms": n}`, and `how`: `"silence"`, `"deaf"`,
//!   `"half_close"`, `"close"` or `"reset"`; `{"alert": {"code", "to": "hello"|"certificate"}}`; `{"certificate":
//!   "untrusted"|"expired"|"wrong_name"}`; `{"alpn": [names]}`; `{"window": {"stream": bytes, "updates": bool}}`.
//! - `listeners`: `state` is `"closed"` (connections are refused) or `"stalled"` (a full backlog: SYNs are dropped). The
//!   call is answered once the listeners are so.
//! - `connect_rate`: a source that makes more than `limit` connections within `seconds` is blocked for `block_ms`.
//!
//! `POST /tokens` takes a list of `{"token": "<hex>", "state": "dead"|"bad"|"wrong_topic"|"good"}`; a dead one also
//! `"reason": "Unregistered"|"ExpiredToken"`, `"timestamp"` in milliseconds (absent: now; `null`: none is sent) and
//! `"after"`, how many sends it takes before.
//!
//! `POST /clock` takes `{"advance_ms": n}` and moves the clock that dates provider tokens.
//!
//! `POST /reset` forgets script, tokens, ledger and clock moves. Connections stay, sequence numbers go on.
#![expect(clippy::disallowed_methods, reason = "it has tasks and a clock of its own, as Apple has")]

mod base64_bytes;
mod certificate;
mod clock;
mod connection;
mod control;
mod front;
pub mod identity;
mod jwt;
pub mod ledger;
mod pump;
pub mod rules;
pub mod script;
mod server;
mod tokens;
mod valve;

pub use clock::Clock;
pub use identity::{ClientSubject, Identity, generate_key};
pub use jwt::Key;
pub use ledger::{Entry, Ledger, LedgerMode, Totals};
pub use pump::{Field, Form};
pub use rules::{Check, Environment, TokenRate, TokenState};
pub use script::{
    Act, AlertTo, At, Breakage, Change, Close, ConnectRate, ConnectionAct, ConnectionFault, DebugData, Delay, Ending,
    ErrorBudget, Fault, Flaw, GoAway, Latency, ListenerFault, Odd, Point, Script, SettingsPlay, Shut, Values,
    Violation, When,
};
pub use server::{Options, Simulator, SimulatorError};

#[cfg(test)]
mod tests;
