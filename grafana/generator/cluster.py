"""The board of a cluster: who is a member, do all agree, and what goes from node to node."""

from .panels import GREEN, INSTANCE, JOB, NODES, ORANGE, RED, board, graph, number, quantiles, query, states, variable

RATE = "$__rate_interval"
PEERS = f'{NODES}, node=~"$node"'
NODE = variable("node", "Peer", 'label_values(pyapns_peer_reachable{job=~"$job"}, node)')
MEMBER = {0: ("gone", "purple"), 1: ("leaving", ORANGE), 2: ("joining", "blue"), 3: ("active", GREEN)}
RINGS = f"""count(count_values by (job) ("ring", pyapns_cluster_ring{{{NODES}}}
            and on (job, instance) pyapns_cluster_state{{{NODES}, state="active"}} == 1))"""


def cluster():
    return board(
        "pyapns-cluster",
        "pyapns: cluster",
        "The nodes that share a Redis: members, owners, Redis, and notifications that one node gives to another.",
        [JOB, INSTANCE, NODE],
        [("Now", now()), ("Members", members()), ("Redis", redis()), ("Between nodes", forwarding())],
    )


def now():
    return [
        number(
            "Active members",
            "Nodes that own apps.",
            "none",
            f'sum(pyapns_cluster_state{{{NODES}, state="active"}})',
            [(1, GREEN)],
            falls=True,
        ),
        number(
            "Opinions on owners",
            "1 if all active nodes agree on which node sends for which app.",
            "none",
            RINGS,
            [(2, RED)],
        ),
        number(
            "Nodes without lease",
            "Nodes whose lease in Redis has ended.",
            "none",
            f"count(pyapns_cluster_lease_held{{{NODES}}} == 0) or vector(0)",
            [(1, RED)],
        ),
        number(
            "Peers not reached",
            "Pairs of nodes of which one gives the other nothing.",
            "none",
            f"count(pyapns_peer_reachable{{{PEERS}}} == 0) or vector(0)",
            [(1, RED)],
        ),
        number(
            "Events that wait",
            "Writes of feedback and disconnections that wait for Redis.",
            "none",
            f"sum(pyapns_events_spooled{{{NODES}}})",
            [(1, ORANGE)],
        ),
        number(
            "Worst clock",
            "The largest difference to the clock of Redis.",
            "s",
            f"max(abs(pyapns_cluster_clock_offset_seconds{{{NODES}}}))",
            [(1, ORANGE), (5, RED)],
            decimals=3,
        ),
    ]


def members():
    numbered = " + ".join(
        f'{value} * max by (instance) (pyapns_cluster_state{{{NODES}, state="{name}"}})'
        for value, (name, _) in MEMBER.items()
        if value
    )
    return [
        states(
            "State of each node",
            "The state that each node has in its cluster.",
            [query(numbered, "{{instance}}")],
            MEMBER,
        ),
        graph(
            "Members that each node knows",
            "Different numbers: the nodes do not see the same cluster.",
            "none",
            [query(f"pyapns_cluster_members{{{NODES}}}", "{{instance}}")],
            width=6,
        ),
        graph(
            "Changes of the members",
            "Members that came or went, changed their state, or got other lanes.",
            "none",
            [
                query(
                    f"sum by (instance) (increase(pyapns_cluster_view_changes_total{{{NODES}}}[{RATE}]))",
                    "{{instance}}",
                )
            ],
            width=6,
        ),
        states(
            "Degraded parts",
            "Parts of each node that do not work, as in /readyz.",
            [query(f"max by (instance, what) (pyapns_degraded{{{NODES}}})", "{{instance}} {{what}}")],
            {0: ("works", GREEN), 1: ("degraded", RED)},
            width=24,
        ),
    ]


def redis():
    return [
        graph(
            "Time of beats",
            "From a beat to the answer of Redis.",
            "s",
            quantiles("pyapns_cluster_beat_seconds", NODES, "instance", "{{instance}}"),
        ),
        graph(
            "Age of the last answer",
            "A node beats twice a second. Its lease ends after 6 seconds.",
            "s",
            [query(f"pyapns_cluster_beat_age_seconds{{{NODES}}}", "{{instance}}")],
            limits=[(6, RED)],
        ),
        graph(
            "Failed beats",
            "Beats without an answer of Redis.",
            "cps",
            [query(f"sum by (instance) (rate(pyapns_cluster_beat_failures_total{{{NODES}}}[{RATE}]))", "{{instance}}")],
        ),
        graph(
            "Events that wait for Redis",
            "Writes in the data directory of each node.",
            "none",
            [query(f"pyapns_events_spooled{{{NODES}}}", "{{instance}}")],
        ),
        graph(
            "Room for events",
            "Share of the room in the data directory. At 100 % events wait in memory.",
            "percentunit",
            [
                query(
                    f"pyapns_events_spooled_bytes{{{NODES}}} / pyapns_events_spool_limit_bytes{{{NODES}}}",
                    "{{instance}}",
                )
            ],
            top=1,
            limits=[(0.5, RED)],
        ),
        graph(
            "Clocks",
            "The clock of each node minus the clock of Redis.",
            "s",
            [query(f"pyapns_cluster_clock_offset_seconds{{{NODES}}}", "{{instance}}")],
            bottom=None,
        ),
    ]


def forwarding():
    return [
        graph(
            "Forwarded batches",
            "Batches given to other nodes, by how they ended there.",
            "cps",
            [query(f"sum by (end) (rate(pyapns_forwarded_total{{{PEERS}}}[{RATE}]))", "{{end}}")],
            stacked=True,
        ),
        graph(
            "Received batches",
            "Batches that other nodes gave to each node.",
            "cps",
            [query(f"sum by (instance) (rate(pyapns_forwarded_received_total{{{NODES}}}[{RATE}]))", "{{instance}}")],
        ),
        graph(
            "Batches at other nodes",
            "Batches without an answer, by the node that they were given to.",
            "none",
            [query(f"sum by (node) (pyapns_forwarded_in_flight{{{PEERS}}})", "{{node}}")],
        ),
        graph(
            "Sent for an owner that is not reached",
            "Batches that a substitute sent, by their owner.",
            "cps",
            [query(f"sum by (node) (rate(pyapns_surrogate_total{{{PEERS}}}[{RATE}]))", "{{node}}")],
        ),
        states(
            "Peers reached",
            "The nodes that take batches from each other node.",
            [query(f"min by (instance, node) (pyapns_peer_reachable{{{PEERS}}})", "{{instance}} to {{node}}")],
            {0: ("not reached", RED), 1: ("reached", GREEN)},
            width=8,
        ),
        graph(
            "Round trip between nodes",
            "From a PING to another node to its answer.",
            "s",
            [query(f"max by (instance, node) (pyapns_peer_round_trip_seconds{{{PEERS}}})", "{{instance}} to {{node}}")],
        ),
        graph(
            "Refused connections between nodes",
            "By cause. The log of the node has the address.",
            "none",
            [
                query(
                    f"sum by (instance, why) (increase(pyapns_peer_refused_total{{{NODES}}}[{RATE}]))",
                    "{{instance}} {{why}}",
                )
            ],
        ),
    ]
