"""A real Prometheus that scrapes every second, with rules whose durations are divided by 60."""

import http.server
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import yaml
from rules import PROMETHEUS, RULES

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SPEED = 60


def faster(text):
    """A duration or a query, with its durations divided by 60."""
    return re.sub(r"\b(\d+)([smhd])\b", lambda found: f"{int(found[1]) * SECONDS[found[2]] // SPEED}s", text)


def fast_rules():
    """The rule groups of the repository, 60 times as fast."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    for group in groups:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[.*?\]", lambda window: faster(window[0]), rule["expr"])
            if "for" in rule:
                rule["for"] = faster(rule["for"])
    return groups


def wait(is_so, what, seconds=60):
    """Waits until `is_so` returns something true, and returns it; `what` returns the words for a failure."""
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what()}"
        time.sleep(0.2)
    return answer


class Server:
    """A program of the Prometheus project, which logs the free port that it takes."""

    def __init__(self, program, directory, *options):
        found, log = shutil.which(program), directory / f"{program}.log"
        assert found, f"{program} is missing: tests/run installs it"
        options = [f"--storage.{'tsdb.' if program == 'prometheus' else ''}path={directory}/{program}", *options]
        with log.open("w") as out:
            self.child = subprocess.Popen([found, "--web.listen-address=127.0.0.1:0", *options], stderr=out)
        listening = wait(lambda: re.search(r'msg="Listening on" address=(\S+)', log.read_text()), log.read_text)
        self.address = listening[1]

    def stop(self):
        self.child.terminate()
        self.child.wait(timeout=30)


class Receiver(http.server.ThreadingHTTPServer):
    """Where Alertmanager sends messages. `alerts` has the labels and the status of each, by the receiver."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Message)
        self.alerts = {"pager": [], "tickets": []}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class Message(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        alerts = [{**alert["labels"], "status": alert["status"]} for alert in message["alerts"]]
        self.server.alerts[self.path.removeprefix("/")] += alerts
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Alertmanager(Server):
    """Alertmanager with the configuration of the repository, 60 times as fast."""

    def __init__(self, directory, receiver):
        text = (PROMETHEUS / "alertmanager.yml").read_text()
        times = re.compile(r"(group_wait|group_interval|repeat_interval): (\w+)")
        text = times.sub(lambda found: f"{found[1]}: {faster(found[2])}", text)
        text = text.replace("127.0.0.1:9099", f"127.0.0.1:{receiver.server_port}")
        config = directory / "alertmanager.yml"
        config.write_text(text.replace(" 0s", " 1s"))
        super().__init__("prometheus-alertmanager", directory, f"--config.file={config}", "--cluster.listen-address=")


class Prometheus(Server):
    """`jobs` has the addresses of the nodes by the name of their scrape job."""

    def __init__(self, directory, jobs, alertmanager):
        scrape = [{"job_name": job, "static_configs": [{"targets": nodes}]} for job, nodes in jobs.items()]
        alerting = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]}
        every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config = {"global": every, "rule_files": ["rules.yml"], "alerting": alerting, "scrape_configs": scrape}
        (directory / "rules.yml").write_text(yaml.safe_dump({"groups": fast_rules()}))
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.began = time.time()
        super().__init__("prometheus", directory, f"--config.file={directory}/prometheus.yml")

    def ask(self, path, **parameters):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def values(self, query):
        """Every value of a query since the start, of all its series."""
        series = self.ask("query_range", query=query, start=self.began, end=time.time(), step=1)["result"]
        return [float(value) for each in series for _, value in each["values"]]

    def firing(self):
        """The labels of each alert that fires."""
        return [each["labels"] for each in self.ask("alerts")["alerts"] if each["state"] == "firing"]

    def rules(self):
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
