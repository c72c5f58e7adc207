"""The first board of an on-call person: is something wrong, since when, and for whom."""

from .panels import GREEN, INSTANCE, JOB, NODES, ORANGE, RED, board, graph, number, quantiles, query, table

RATE = "$__rate_interval"
FAILED = f'sum(rate(pyapns_notifications_total{{{NODES}, outcome=~"not_sent|unknown"}}[{RATE}]))'
ALL = f"sum(rate(pyapns_notifications_total{{{NODES}}}[{RATE}]))"
CALLS = f'{NODES}, route!~"/readyz|/healthz|/metrics"'
APP_BOARD = "/d/pyapns-app?${__url_time_range}&var-job=${__data.fields.job}&var-app=${__data.fields.app}&var-environment=${__data.fields.environment}"


def overview():
    return board(
        "pyapns-overview",
        "pyapns: overview",
        "The state of all nodes: what callers get, what is stopped, and which resources run out.",
        [JOB, INSTANCE],
        [
            ("Now", now()),
            ("Notifications", notifications()),
            ("Apps", apps()),
            ("Callers", callers()),
            ("Feedback and disconnections", events()),
            ("Resources", resources()),
        ],
    )


def now():
    return [
        number(
            "Alerts",
            "Alerts of pyapns that fire. Needs the rules of deploy/prometheus.",
            "none",
            'count(ALERTS{alertname=~"Pyapns.*", alertstate="firing", job=~"$job|"}) or vector(0)',
            [(1, RED)],
            width=3,
        ),
        number(
            "Nodes that answer",
            "Nodes whose metrics Prometheus can read.",
            "none",
            f"count(up{{{NODES}}} == 1) or vector(0)",
            [(1, GREEN)],
            width=3,
            falls=True,
        ),
        number(
            "Nodes that do not",
            "Nodes whose metrics Prometheus cannot read.",
            "none",
            f"count(up{{{NODES}}} == 0) or vector(0)",
            [(1, RED)],
            width=3,
        ),
        number(
            "Degraded",
            "Parts of nodes that do not work, as in /readyz.",
            "none",
            f"sum(pyapns_degraded{{{NODES}}})",
            [(1, ORANGE)],
            width=3,
        ),
        number("Notifications", "Notifications that ended, per second.", "cps", ALL, width=3),
        number(
            "Answered",
            "Share of the notifications that Apple answered; the rest is not_sent or unknown.",
            "percentunit",
            f'1 - sum(rate(pyapns_notifications_total{{{NODES}, outcome=~"not_sent|unknown"}}[{RATE}])) / ({ALL} > 0)',
            [(0.99, ORANGE), (0.999, GREEN)],
            width=3,
            decimals=2,
            falls=True,
        ),
        number(
            "Stopped lanes",
            "Lanes that are stopped: open breakers, and credentials that Apple refuses.",
            "none",
            f"sum(pyapns_breakers_open{{{NODES}}}) + sum(pyapns_credentials_refused{{{NODES}}})",
            [(1, RED)],
            width=3,
        ),
        number(
            "Next certificate",
            "Time until the first certificate expires.",
            "s",
            f"min(pyapns_credential_expires_timestamp_seconds{{{NODES}}}) - time()",
            [(3 * 86400, ORANGE), (30 * 86400, GREEN)],
            width=3,
            falls=True,
        ),
        table(
            "Firing alerts",
            "Alerts of pyapns that fire. docs/alerts.md has a runbook for each.",
            "none",
            [
                (
                    "series",
                    "count by (severity, alertname, job, instance, app_id, environment) "
                    '(ALERTS{alertname=~"Pyapns.*", alertstate="firing", job=~"$job|"})',
                )
            ],
            width=24,
            height=5,
        ),
    ]


def notifications():
    return [
        graph(
            "Outcomes",
            "Notifications that ended, by outcome.",
            "cps",
            [query(f"sum by (outcome) (rate(pyapns_notifications_total{{{NODES}}}[{RATE}]))", "{{outcome}}")],
            stacked=True,
        ),
        graph(
            "Not accepted, by reason",
            "The ten most frequent reasons.",
            "cps",
            [
                query(
                    f"topk(10, sum by (outcome, reason) (rate(pyapns_failed_notifications_total{{{NODES}}}[{RATE}])))",
                    "{{outcome}}: {{reason}}",
                )
            ],
        ),
        graph(
            "Share of failures",
            "not_sent and unknown. The dashed line is the objective of 0.1 %.",
            "percentunit",
            [query(f"{FAILED} / ({ALL} > 0)", "failed")],
            top=1,
            limits=[(0.001, ORANGE)],
        ),
        graph(
            "Time to the outcome",
            "From taking a notification to its outcome, retries included.",
            "s",
            quantiles("pyapns_notification_seconds", NODES),
        ),
        graph(
            "Taken, and ended",
            "A lasting difference is a backlog.",
            "cps",
            [query(f"sum(rate(pyapns_taken_notifications_total{{{NODES}}}[{RATE}]))", "taken"), query(ALL, "ended")],
        ),
        graph(
            "Waiting, and in flight",
            "Notifications that wait to be sent, and requests that wait for Apple's answer.",
            "none",
            [
                query(f"sum(pyapns_queued_notifications{{{NODES}}})", "waiting"),
                query(f"sum(pyapns_in_flight_requests{{{NODES}}})", "in flight"),
            ],
        ),
    ]


def apps():
    by_app = "sum by (job, app_id, environment)"
    names = (("app_id", "app"),)
    link = ("app", "Board of this app", APP_BOARD)
    return [
        table(
            "Busiest apps",
            "Notifications per second.",
            "cps",
            [("notifications", f"topk(20, {by_app} (rate(pyapns_app_notifications_total{{{NODES}}}[{RATE}])))")],
            width=8,
            names=names,
            links=link,
        ),
        table(
            "Apps with failures",
            "Notifications per second that Apple rejected or did not answer.",
            "cps",
            [
                (
                    "not accepted",
                    f'topk(20, {by_app} (rate(pyapns_app_notifications_total{{{NODES}, outcome!="accepted"}}[{RATE}])) > 0)',
                )
            ],
            width=8,
            names=names,
            links=link,
        ),
        table(
            "Apps that are not ok",
            "The state of apps that nodes send for, other than ok.",
            "none",
            [("nodes", f'count by (job, app_id, environment, state) (pyapns_app_state{{{NODES}, state!="ok"}} > 0)')],
            width=8,
            names=names,
            links=link,
        ),
    ]


def callers():
    return [
        graph(
            "Requests",
            "Requests of callers, by status.",
            "reqps",
            [query(f"sum by (status) (rate(pyapns_api_requests_total{{{CALLS}}}[{RATE}]))", "{{status}}")],
            stacked=True,
        ),
        graph(
            "Time of requests",
            "99th percentile for each route. A send waits for the outcomes of its notifications.",
            "s",
            [
                query(
                    f"histogram_quantile(0.99, sum by (le, route) (rate(pyapns_api_request_seconds_bucket{{{CALLS}}}[{RATE}]))) >= 0",
                    "{{route}}",
                )
            ],
        ),
        graph(
            "Connections",
            "Open connections of callers, and connections that were refused at a limit.",
            "none",
            [
                query(f"sum by (instance) (pyapns_api_connections{{{NODES}}})", "{{instance}}"),
                query(f"sum(increase(pyapns_api_connections_refused_total{{{NODES}}}[{RATE}]))", "refused"),
            ],
        ),
    ]


def events():
    return [
        graph(
            "Feedback",
            "Entries that became readable, that were acknowledged, and that the mass-removal guard held back.",
            "cps",
            [
                query(f"sum(rate(pyapns_feedback_{name}_total{{{NODES}}}[{RATE}]))", name)
                for name in ("written", "acknowledged", "held")
            ],
            width=6,
        ),
        graph(
            "Apps with held feedback",
            "Somebody has to release or drop it.",
            "none",
            [query(f"max by (job) (pyapns_feedback_holds{{{NODES}}})", "{{job}}")],
            width=6,
        ),
        graph(
            "Disconnections",
            "Entries written to the disconnection log.",
            "cps",
            [
                query(
                    f"sum by (instance) (rate(pyapns_disconnections_written_total{{{NODES}}}[{RATE}]))", "{{instance}}"
                )
            ],
            width=6,
        ),
        graph(
            "Not stored",
            "Entries that wait in memory, and entries that were lost.",
            "none",
            [
                query(f"sum by (instance) (pyapns_events_unwritten{{{NODES}}})", "{{instance}} waiting"),
                query(
                    f"sum by (instance) (increase(pyapns_events_lost_total{{{NODES}}}[{RATE}]))", "{{instance}} lost"
                ),
            ],
            width=6,
        ),
    ]


def resources():
    own = f"and on (job, instance) pyapns_build_info{{{NODES}}}"
    return [
        graph(
            "Memory for notifications",
            "Share of limits.in_flight_bytes. At 100 % callers get 503.",
            "percentunit",
            [query(f"pyapns_queue_bytes{{{NODES}}} / pyapns_queue_limit_bytes{{{NODES}}}", "{{instance}}")],
            top=1,
            limits=[(0.8, RED)],
        ),
        graph(
            "CPU",
            "Cores in use.",
            "none",
            [query(f"rate(process_cpu_seconds_total{{{NODES}}}[{RATE}]) {own}", "{{instance}}")],
        ),
        graph(
            "Memory",
            "Resident memory.",
            "bytes",
            [query(f"process_resident_memory_bytes{{{NODES}}} {own}", "{{instance}}")],
        ),
        graph(
            "File descriptors",
            "Share of the limit of the process.",
            "percentunit",
            [query(f"process_open_fds{{{NODES}}} / process_max_fds{{{NODES}}} {own}", "{{instance}}")],
            top=1,
            limits=[(0.8, RED)],
        ),
        graph(
            "Lines of the log dropped",
            "The reader of the log is too slow.",
            "none",
            [query(f"sum by (instance) (increase(pyapns_log_lines_dropped_total{{{NODES}}}[{RATE}]))", "{{instance}}")],
        ),
        table(
            "Versions and starts",
            "The version of each node, and the time since its start.",
            "s",
            [
                (
                    "up for",
                    f"time() - process_start_time_seconds{{{NODES}}} + on (job, instance) group_left(version) 0 * pyapns_build_info{{{NODES}}}",
                )
            ],
            width=8,
            names=(("instance", "node"),),
        ),
    ]
