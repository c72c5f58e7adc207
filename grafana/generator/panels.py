"""Panels of Grafana as JSON. A board places them from left to right, in rows of 24 columns."""

from string import ascii_uppercase

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
SCHEMA = 39
GREEN, ORANGE, RED = "green", "orange", "red"


def query(expr, legend="__auto", instant=False):
    """A query of a panel; `instant` asks for the last value alone."""
    return {"expr": " ".join(expr.split()), "legendFormat": legend, "instant": instant, "range": not instant}


def quantiles(metric, selector, by="", legend=""):
    """The median and the 99th percentile of a histogram, for each value of the label `by`."""
    grouping = f"le, {by}" if by else "le"
    return [
        query(
            f"histogram_quantile({share}, sum by ({grouping}) (rate({metric}_bucket{{{selector}}}[$__rate_interval]))) >= 0",
            f"{name} {legend}".strip(),
        )
        for share, name in ((0.5, "median"), (0.99, "99 %"))
    ]


def panel(kind, title, description, unit, queries, width, height, **more):
    """A panel without its place. `queries` get their refId here."""
    defaults = {"unit": unit, **more.pop("defaults", {})}
    targets = [
        {"refId": ref, "datasource": DATASOURCE, "editorMode": "code", **each}
        for ref, each in zip(ascii_uppercase, queries)
    ]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        "targets": targets,
        **more,
    }


def graph(title, description, unit, queries, width=8, stacked=False, top=None, bottom=0, limits=()):
    """Lines over time. `limits` are pairs of a value and a colour, drawn as lines."""
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 8,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
    }
    defaults = {"custom": custom, "thresholds": steps(limits)}
    if bottom is not None:
        defaults["min"] = bottom
    if top is not None:
        defaults["max"] = top
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, description, unit, queries, width, 8, defaults=defaults, options=options)


def number(title, description, unit, expr, limits=(), width=4, decimals=None, links=(), falls=False):
    """One number with a colour. `limits` are pairs of a value and a colour; `falls`: a lower value is worse."""
    defaults = {"thresholds": steps(limits, GREEN if not falls else RED), "color": {"mode": "thresholds"}}
    if decimals is not None:
        defaults["decimals"] = decimals
    if links:
        defaults["links"] = [{"title": name, "url": url} for name, url in links]
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background" if limits else "value",
        "graphMode": "area",
        "textMode": "auto",
    }
    return panel("stat", title, description, unit, [query(expr)], width, 4, defaults=defaults, options=options)


def states(title, description, queries, names, width=12):
    """Bars over time: each value has a name and a colour of `names`."""
    mapping = {str(value): {"text": text, "color": colour} for value, (text, colour) in names.items()}
    defaults = {
        "mappings": [{"type": "value", "options": mapping}],
        "custom": {"fillOpacity": 70, "lineWidth": 0},
        "color": {"mode": "thresholds"},
        "thresholds": steps(()),
    }
    options = {"mergeValues": True, "showValue": "never", "rowHeight": 0.8, "legend": {"showLegend": False}}
    return panel("state-timeline", title, description, "none", queries, width, 8, defaults=defaults, options=options)


def table(title, description, unit, columns, width=12, names=(), links=None, height=8):
    """A row for each set of labels. `columns` are pairs of a name and a query; `names` rename labels; `links` is the
    column that leads to a URL."""
    queries = [{**query(expr, instant=True), "format": "table"} for _, expr in columns]
    renamed = {f"Value #{ref}": name for ref, (name, _) in zip(ascii_uppercase, columns)}
    if len(columns) == 1:
        renamed["Value"] = columns[0][0]
    transformations = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": {**renamed, **dict(names)}}},
        {"id": "sortBy", "options": {"sort": [{"field": columns[0][0], "desc": True}]}},
    ]
    overrides = []
    if links:
        column, name, url = links
        link = {"id": "links", "value": [{"title": name, "url": url}]}
        overrides = [{"matcher": {"id": "byName", "options": column}, "properties": [link]}]
    options = {"showHeader": True, "cellHeight": "sm"}
    more = {"overrides": overrides, "options": options, "transformations": transformations}
    return panel("table", title, description, unit, queries, width, height, **more)


def steps(limits, first=GREEN):
    """Thresholds: `first` is the colour below all limits."""
    each = [{"value": None, "color": first}, *({"value": value, "color": colour} for value, colour in limits)]
    return {"mode": "absolute", "steps": each}


def variable(name, label, values, several=True):
    """A variable with the values of a label, for example `label_values(up, job)`."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": values,
        "query": {"query": values, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        **({"allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}} if several else {"current": {}}),
        "options": [],
    }


def board(uid, title, description, variables, rows):
    """A board. `rows` are pairs of a title and its panels."""
    placed, y = [], 0
    for name, panels in rows:
        placed.append(
            {"type": "row", "title": name, "collapsed": False, "panels": [], "gridPos": place(0, y, WIDTH, 1)}
        )
        x, y, height = 0, y + 1, 0
        for each in panels:
            size = each["gridPos"]
            if x + size["w"] > WIDTH:
                x, y, height = 0, y + height, 0
            placed.append({**each, "gridPos": place(x, y, size["w"], size["h"])})
            x, height = x + size["w"], max(height, size["h"])
        y += height
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}}
    alerts = {
        "name": "Alerts",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": RED,
        "expr": 'ALERTS{alertname=~"Pyapns.*", alertstate="firing", job=~"$job|"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}} {{app_id}}",
    }
    others = {
        "type": "dashboards",
        "title": "pyapns",
        "tags": ["pyapns"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
    }
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["pyapns"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [others],
        "annotations": {"list": [alerts]},
        "templating": {"list": [source, *variables]},
        "panels": placed,
    }


def place(x, y, width, height):
    return {"x": x, "y": y, "w": width, "h": height}


JOB = variable("job", "Fleet", "label_values(pyapns_build_info, job)")
INSTANCE = variable("instance", "Node", 'label_values(pyapns_build_info{job=~"$job"}, instance)')
NODES = 'job=~"$job", instance=~"$instance"'
