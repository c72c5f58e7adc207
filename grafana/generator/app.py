"""The board of one app: what its caller gets, and why."""

from .panels import GREEN, JOB, ORANGE, RED, board, graph, number, quantiles, query, states, variable

RATE = "$__rate_interval"
APP = 'job=~"$job", app_id=~"$app", environment=~"$environment"'
ALL = f"sum(rate(pyapns_app_notifications_total{{{APP}}}[{RATE}]))"
VARIABLES = [
    JOB,
    variable("app", "App", 'label_values(pyapns_app_notifications_total{job=~"$job"}, app_id)'),
    variable(
        "environment",
        "Environment",
        'label_values(pyapns_app_notifications_total{job=~"$job", app_id=~"$app"}, environment)',
    ),
]
STATES = {
    0: ("ok", GREEN),
    1: ("connecting", "blue"),
    2: ("cannot_connect", ORANGE),
    3: ("breaker_open", RED),
    4: ("credential_error", "purple"),
}


def share(outcome):
    return f'sum(rate(pyapns_app_notifications_total{{{APP}, outcome="{outcome}"}}[{RATE}])) / ({ALL} > 0)'


def app():
    return board(
        "pyapns-app",
        "pyapns: one app",
        "The notifications of one app: outcomes, reasons, state and backlog. Apps beyond the setting metrics.apps are together the app `other`.",
        VARIABLES,
        [("Now", now()), ("Notifications", notifications()), ("State", state())],
    )


def now():
    state = " or ".join(
        f'max({number} * (pyapns_app_state{{{APP}, state="{name}"}} > 0))'
        for number, (name, _) in reversed(STATES.items())
    )
    worst = number(
        "State",
        "The worst state of the selected apps. GET /apps/{app_id}/{environment} has last_error.",
        "none",
        f"{state}",
        width=4,
    )
    defaults = worst["fieldConfig"]["defaults"]
    options = {str(value): {"text": text, "color": colour} for value, (text, colour) in STATES.items()}
    defaults["mappings"] = [{"type": "value", "options": options}]
    return [
        worst,
        number("Notifications", "Notifications that ended, per second.", "cps", ALL),
        number(
            "Accepted", "Share of the notifications that Apple accepted.", "percentunit", share("accepted"), decimals=2
        ),
        number(
            "Rejected",
            "Share of the notifications that Apple rejected.",
            "percentunit",
            share("rejected"),
            [(0.2, RED)],
            decimals=2,
        ),
        number(
            "Failed",
            "Share of the notifications without an answer of Apple: not_sent and unknown.",
            "percentunit",
            f'sum(rate(pyapns_app_notifications_total{{{APP}, outcome=~"not_sent|unknown"}}[{RATE}])) / ({ALL} > 0)',
            [(0.001, ORANGE), (0.01, RED)],
            decimals=2,
        ),
        number(
            "Certificate",
            "Time until the certificate expires. Empty for a signing key, and for all but the 100 certificates that expire first.",
            "s",
            f"min(pyapns_credential_expires_timestamp_seconds{{{APP}}}) - time()",
            [(3 * 86400, ORANGE), (30 * 86400, GREEN)],
            falls=True,
        ),
    ]


def notifications():
    return [
        graph(
            "Outcomes",
            "Notifications that ended, by outcome.",
            "cps",
            [query(f"sum by (outcome) (rate(pyapns_app_notifications_total{{{APP}}}[{RATE}]))", "{{outcome}}")],
            width=12,
            stacked=True,
        ),
        graph(
            "Not accepted, by reason",
            "By the reason in Apple's last answer; `other` is a reason that Apple does not document.",
            "cps",
            [query(f"sum by (reason) (rate(pyapns_app_rejections_total{{{APP}}}[{RATE}]))", "{{reason}}")],
            width=12,
            stacked=True,
        ),
        graph(
            "Time to the outcome",
            "From taking a notification to its outcome. Needs the setting metrics.app_latency.",
            "s",
            quantiles("pyapns_app_notification_seconds", APP),
            width=12,
        ),
        graph(
            "Taken by node",
            "The nodes that callers give the notifications of this app to.",
            "cps",
            [query(f"sum by (instance) (rate(pyapns_app_notifications_total{{{APP}}}[{RATE}]))", "{{instance}}")],
            width=12,
            stacked=True,
        ),
    ]


def state():
    numbered = " or ".join(
        f'{value} * max by (app_id, environment, instance) (pyapns_app_state{{{APP}, state="{name}"}} > bool 0)'
        for value, (name, _) in reversed(STATES.items())
    )
    return [
        states(
            "State by node",
            "The state on each node that sends for the app.",
            [query(numbered, "{{app_id}} {{environment}} {{instance}}")],
            STATES,
            width=24,
        ),
        graph(
            "Waiting",
            "Notifications that wait to be sent, by the node that sends for the app.",
            "none",
            [query(f"sum by (instance) (pyapns_app_queue{{{APP}}})", "{{instance}}")],
            width=12,
        ),
        graph(
            "In flight",
            "Requests to Apple without an answer, by node.",
            "none",
            [query(f"sum by (instance) (pyapns_app_in_flight{{{APP}}})", "{{instance}}")],
            width=12,
        ),
    ]
