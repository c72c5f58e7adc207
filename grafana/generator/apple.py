"""The board of the connections to Apple: are they there, what limits them, and what ends them."""

from .panels import INSTANCE, JOB, NODES, ORANGE, RED, board, graph, number, quantiles, query

RATE = "$__rate_interval"


def apple():
    return board(
        "pyapns-apple",
        "pyapns: connections to Apple",
        "Connections, requests and answers between the nodes and Apple.",
        [JOB, INSTANCE],
        [
            ("Now", now()),
            ("Requests", requests()),
            ("Connections", connections()),
            ("Channels and broadcasts", channels()),
            ("Descriptors", descriptors()),
        ],
    )


def per_second(name, by, legend):
    return query(f"sum by ({by}) (rate(pyapns_{name}{{{NODES}}}[{RATE}]))", legend)


def now():
    return [
        number("Connections", "Open connections to Apple.", "none", f"sum(pyapns_connections{{{NODES}}})"),
        number(
            "Open breakers",
            "Lanes that are stopped, since Apple answers with 5xx or cannot be reached.",
            "none",
            f"sum(pyapns_breakers_open{{{NODES}}})",
            [(1, RED)],
        ),
        number(
            "Refused credentials",
            "Lanes that are stopped, since Apple refuses the credential of their app.",
            "none",
            f"sum(pyapns_credentials_refused{{{NODES}}})",
            [(1, RED)],
        ),
        number(
            "Answer of Apple",
            "99th percentile of the time to Apple's answer.",
            "s",
            f"histogram_quantile(0.99, sum by (le) (rate(pyapns_apple_seconds_bucket{{{NODES}}}[{RATE}]))) >= 0",
            [(1, ORANGE), (5, RED)],
        ),
        number(
            "Streams in use",
            "Share of the concurrent requests that Apple allows.",
            "percentunit",
            f"sum(pyapns_in_flight_requests{{{NODES}}}) / (sum(pyapns_streams_granted{{{NODES}}}) > 0)",
            [(0.9, ORANGE)],
            decimals=1,
        ),
        number(
            "Lanes without descriptor",
            "Lanes that wait for a file descriptor.",
            "none",
            f"sum(pyapns_apple_descriptors_waiting{{{NODES}}})",
            [(1, RED)],
        ),
    ]


def requests():
    return [
        graph(
            "Attempts and retries",
            "Requests to Apple, and those for a notification that had one before.",
            "reqps",
            [
                query(f"sum(rate(pyapns_attempts_total{{{NODES}}}[{RATE}]))", "attempts"),
                query(f"sum(rate(pyapns_retries_total{{{NODES}}}[{RATE}]))", "retries"),
            ],
        ),
        graph(
            "Attempts by node",
            "The node that sends; callers may have given the notifications to another one.",
            "reqps",
            [per_second("attempts_total", "instance", "{{instance}}")],
            stacked=True,
        ),
        graph(
            "Time of Apple's answer",
            "From a request to Apple's answer, by node.",
            "s",
            quantiles("pyapns_apple_seconds", NODES, "instance", "{{instance}}"),
        ),
        graph(
            "In flight, and allowed",
            "Requests without an answer, and the concurrent requests that Apple allows.",
            "none",
            [
                query(f"sum(pyapns_in_flight_requests{{{NODES}}})", "in flight"),
                query(f"sum(pyapns_streams_granted{{{NODES}}})", "allowed"),
            ],
        ),
        graph(
            "What limits lanes",
            "Lanes by what limits their throughput now. `caller`: they send as much as they get.",
            "none",
            [query(f"sum by (by) (pyapns_bound_by{{{NODES}}})", "{{by}}")],
            stacked=True,
        ),
        graph(
            "Time by limit",
            "The share of time of all lanes with traffic, by what limited them.",
            "percentunit",
            [
                query(
                    f"""sum by (by) (rate(pyapns_bound_by_seconds_total{{{NODES}}}[{RATE}]))
                         / on () group_left () (sum(rate(pyapns_bound_by_seconds_total{{{NODES}}}[{RATE}])) > 0)""",
                    "{{by}}",
                )
            ],
            stacked=True,
            top=1,
        ),
    ]


def connections():
    return [
        graph(
            "Connections by node",
            "Open connections to Apple.",
            "none",
            [query(f"sum by (instance) (pyapns_connections{{{NODES}}})", "{{instance}}")],
        ),
        graph(
            "Opened, and failed",
            "Attempts to connect to Apple, by how they ended.",
            "cps",
            [
                query(f"sum(rate(pyapns_connects_total{{{NODES}}}[{RATE}]))", "opened"),
                query(f"sum(rate(pyapns_connect_failures_total{{{NODES}}}[{RATE}]))", "failed"),
            ],
        ),
        graph(
            "Lost connections",
            "Connections that ended without being drained, by cause.",
            "cps",
            [per_second("connections_lost_total", "why", "{{why}}")],
        ),
        graph(
            "GOAWAY",
            "Connections that Apple asked to leave, by Apple's reason.",
            "cps",
            [per_second("goaways_total", "reason", "{{reason}}")],
        ),
        graph("PING", "Checks of silent connections.", "cps", [per_second("pings_total", "instance", "{{instance}}")]),
        graph(
            "Stopped lanes",
            "Open breakers and refused credentials, by node.",
            "none",
            [
                query(f"sum by (instance) (pyapns_breakers_open{{{NODES}}})", "{{instance}} breaker"),
                query(f"sum by (instance) (pyapns_credentials_refused{{{NODES}}})", "{{instance}} credential"),
            ],
        ),
    ]


def channels():
    return [
        graph(
            "Calls",
            "Broadcasts, and calls that manage channels.",
            "cps",
            [per_second("channel_calls_total", "call, outcome", "{{call}}: {{outcome}}")],
            stacked=True,
        ),
        graph(
            "Calls that failed, by reason",
            "Calls that Apple did not accept.",
            "cps",
            [per_second("failed_channel_calls_total", "call, outcome, reason", "{{call}}: {{reason}}")],
        ),
        graph(
            "Time of calls",
            "From taking a call to its outcome, retries included.",
            "s",
            quantiles("pyapns_channel_call_seconds", NODES),
        ),
    ]


def descriptors():
    return [
        graph(
            "File descriptors for Apple",
            "Share of the file descriptors that connections to Apple may take.",
            "percentunit",
            [query(f"pyapns_apple_descriptors_used{{{NODES}}} / pyapns_apple_descriptors{{{NODES}}}", "{{instance}}")],
            width=12,
            top=1,
            limits=[(0.8, RED)],
        ),
        graph(
            "Reclaimed, and waiting",
            "Idle connections that were closed for another lane, and lanes that wait.",
            "none",
            [
                query(
                    f"sum by (instance) (increase(pyapns_apple_descriptors_reclaimed_total{{{NODES}}}[{RATE}]))",
                    "{{instance}} reclaimed",
                ),
                query(f"sum by (instance) (pyapns_apple_descriptors_waiting{{{NODES}}})", "{{instance}} waiting"),
            ],
            width=12,
        ),
    ]
