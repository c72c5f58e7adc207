"""What schemathesis does not read in the API description: keys, a credential, and checks of our own."""

import json
import os
import pathlib
import re

import requests
import schemathesis

# The API keys by name: each scope has a key, and a key with every other scope but `admin`.
KEYS = json.loads(os.environ["PYAPNS_TEST_KEYS"])
SIMULATOR = json.loads(os.environ["PYAPNS_TEST_SIMULATOR"])
CERTIFICATE, KEY = (pathlib.Path(SIMULATOR[file]).read_text() for file in ("certificate_file", "key_file"))
TOPIC = "com.example.app"


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Makes the description as strict as the node is: lists of values are complete, answers have no other fields, and
    this node needs keys."""
    schemas = raw_schema["components"]["schemas"]
    for schema in schemas.values():
        close(schema)
    # The format is for generated clients: the node takes longer integers.
    for name in ("Identifier", "BroadcastIdentifier"):
        del schemas[name]["oneOf"][1]["format"]
    for item in raw_schema["paths"].values():
        for method, operation in item.items():
            if method == "parameters":
                continue
            operation["security"] = [one for one in operation["security"] if one]
            # A stream answers a faulty line with an outcome, so that it refuses no body.
            contents = [operation.get("requestBody", {}), operation["responses"].get("201", {})]
            for content in contents:
                content.get("content", {}).pop("application/x-ndjson", None)


def close(schema):
    if "x-extensible-enum" in schema:
        schema["enum"] = schema["x-extensible-enum"]
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
    parts = [*schema.get("properties", {}).values(), *schema.get("oneOf", [])]
    for part in parts + ([schema["items"]] if "items" in schema else []):
        close(part)


@schemathesis.hook
def map_case(context, case):
    operation = case.operation.definition.raw["operationId"]
    is_sequence = case.meta.phase.name.value == "stateful"
    # A sequence of calls has apps of its own, and a call that removes an app has a random one.
    if not is_sequence and operation != "removeApp":
        case.path_parameters = with_an_app(case.path_parameters)
    if operation == "provisionApp" and is_sequence and case.meta.generation.mode.is_positive:
        # Without an app, no sequence goes on.
        case.body, case.media_type, case.headers = {"certificate": CERTIFICATE}, "application/json", {}
    elif operation == "provisionApp" and isinstance(case.body, dict):
        case.body = with_a_credential(case.body)
    return case


def with_an_app(parameters):
    """Names an app that is provisioned in place of nearly every random one, so that requests reach their parsers."""
    app_id = (parameters or {}).get("app_id")
    valid = isinstance(app_id, str) and re.fullmatch("[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", app_id)
    return {**parameters, "app_id": TOPIC} if valid and len(app_id) % 10 != 7 else parameters


def with_a_credential(body):
    """Replaces texts in the place of a credential by the simulator's."""
    if isinstance(body.get("certificate"), str):
        body = {**body, "certificate": CERTIFICATE}
    elif isinstance(body.get("key"), str):
        ids = {name: SIMULATOR[name] for name in ("key_id", "team_id") if is_id(body.get(name))}
        body = {**body, "key": KEY, **ids}
    else:
        return body
    if isinstance(body.get("passphrase"), str) and len(body["passphrase"]) <= 1024:
        del body["passphrase"]
    if isinstance(body.get("topic"), str) and re.fullmatch("[!-~]{1,255}", body["topic"]):
        body["topic"] = TOPIC
    return body


def is_id(value):
    return isinstance(value, str) and bool(re.fullmatch("[A-Z0-9]{10}", value))


def scope(operation):
    """The scope that a call needs; `None` for a key of any scope, and for a call without a key."""
    scopes = [scope for one in operation.definition.raw["security"] for scope in one["apiKey"]]
    return scopes[0] if scopes else None


@schemathesis.auth(refresh_interval=None)
class LeastKey:
    """Calls with a key that has only the scope of the description."""

    def get(self, case, context):
        return KEYS[scope(context.operation) or "metrics"]

    def set(self, case, key, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {key}"}


@schemathesis.check
def a_key_with_the_scope_is_not_refused(ctx, response, case):
    if response.status_code == 403 and case.method == case.operation.method.upper():
        raise AssertionError(f"{case.operation.label} refuses a key with {scope(case.operation)}: {response.text}")


refused = set()


@schemathesis.check
def a_key_with_every_other_scope_is_refused(ctx, response, case):
    """Repeats the first good request of each call with such a key."""
    needed, name = scope(case.operation), case.operation.label
    if needed is None or name in refused or response.status_code >= 400:
        return
    sent = response.request
    headers = {**sent.headers, "Authorization": f"Bearer {KEYS['not ' + needed]}"}
    answer = requests.request(sent.method, sent.url, headers=headers, data=sent.body, timeout=20)
    assert (answer.status_code, answer.json()["reason"]) == (403, "scope_missing"), answer.text
    refused.add(name)
