"""The reference of the REST API, made from src/api/openapi.json."""

from __future__ import annotations

import json

SOURCE = "src/api/openapi.json"

OPENING = """# REST reference

Every call with its parameters, its body and its answers, from the [API description](api-description.md) that each node
serves as `GET /openapi.json`. [All pages and calls](documentation.md#all-calls) lists the calls in one table.
"""
# Limits of a value, by the keyword of the schema.
LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "default": "default `{}`",
}


def page(text: str) -> str:
    """Return the page, made from the text of the source."""
    return Reference(json.loads(text)).page()


def cell(text: str) -> str:
    """Return a text that fits into a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table, or nothing if it has no rows."""
    if not rows:
        return ""
    lines = [heads, ["---"] * len(heads), *([cell(text) for text in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


class Reference:
    """An API description, read as text."""

    def __init__(self, description: dict) -> None:
        self.description = description

    def page(self) -> str:
        parts = [OPENING, self.description["info"]["description"] + "\n"]
        calls = [
            (tag, path, method, item, operation)
            for path, item in self.description["paths"].items()
            for method, operation in item.items()
            if method != "parameters"
            for tag in operation["tags"]
        ]
        for tag in self.description["tags"]:
            parts.append(f"## Calls: {tag['name']}\n\n{tag['description']}\n")
            parts += [self.call(*call[1:]) for call in calls if call[0] == tag["name"]]
        parts.append("## Objects\n\nThe objects and values of bodies and answers, in alphabetical order.\n")
        schemas = self.description["components"]["schemas"]
        parts += [self.schema(name, schemas[name]) for name in sorted(schemas)]
        return "\n".join(parts)

    def resolve(self, value: dict) -> dict:
        """Return what a reference names."""
        while "$ref" in value:
            target = self.description
            for step in value["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            value = target
        return value

    def call(self, path: str, method: str, item: dict, operation: dict) -> str:
        scopes = [scope for needs in operation["security"] for scope in needs.get("apiKey", [])]
        needs = f"Scope: `{scopes[0]}`." if scopes else "Needs no API key."
        text = f"### {operation['summary']}\n\n``` text\n{method.upper()} {path}\n```\n\n"
        text += f"{operation.get('description', '')} {needs}".strip() + "\n\n"
        parameters = [self.resolve(one) for one in [*item.get("parameters", []), *operation.get("parameters", [])]]
        rows = [[f"`{one['name']}`", one["in"], self.type(one["schema"]), self.meaning(one)] for one in parameters]
        text += table(["parameter", "in", "type", "meaning"], rows)
        body = self.resolve(operation.get("requestBody", {})).get("content", {})
        text += table(["body", "type"], [[f"`{kind}`", self.type(of["schema"])] for kind, of in body.items()])
        answers = [self.answer(status, self.resolve(one)) for status, one in operation["responses"].items()]
        return text + table(["answer", "body", "headers", "meaning"], answers)

    def answer(self, status: str, answer: dict) -> list[str]:
        kinds = answer.get("content", {}).items()
        bodies = [f"{self.type(of['schema'])} (`{kind}`)" for kind, of in kinds]
        headers = [f"`{name}`" for name in answer.get("headers", {})]
        return [
            "error" if status == "default" else status,
            "<br>".join(bodies),
            ", ".join(headers),
            answer["description"],
        ]

    def schema(self, name: str, schema: dict) -> str:
        text = f"### {name}\n\n"
        meaning = self.meaning({"schema": schema, "description": schema.get("description", "")})
        if "properties" not in schema:
            text += f"Type: {self.type(schema)}.\n\n"
        if meaning:
            text += f"{meaning}\n\n"
        required = schema.get("required", [])
        rows = [
            [f"`{field}`", self.type(of), "yes" if field in required else "", self.meaning({"schema": of})]
            for field, of in schema.get("properties", {}).items()
        ]
        return text + table(["field", "type", "required", "meaning"], rows)

    def type(self, schema: dict) -> str:
        """Return the type of a value, with a link to a named one."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            return f"[{name}](#{name.lower()})"
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return " or ".join(self.type(one) for one in schema[key])
        if "allOf" in schema:
            return " and ".join(self.type(one) for one in schema["allOf"])
        kinds = schema.get("type", "any value")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        names = [f"list of {self.type(schema.get('items', {}))}" if kind == "array" else kind for kind in kinds]
        if "format" in schema and schema["format"] not in ("int64", "int32", "double", "password"):
            names[0] += f" ({schema['format']})"
        return " or ".join(names)

    def meaning(self, value: dict) -> str:
        """Return the description of a field or parameter, with its values and limits."""
        schema = value["schema"]
        description = value.get("description") or schema.get("description", "")
        known = schema.get("enum") or schema.get("x-extensible-enum") or []
        known = [f"`{json.dumps(one).strip(chr(34))}`" for one in known]
        limits = [text.format(json.dumps(schema[key]).strip('"')) for key, text in LIMITS.items() if key in schema]
        limits += [f"matches `{schema['pattern']}`"] if "pattern" in schema else []
        details = ", ".join(limits)
        details = f"{details[0].upper()}{details[1:]}." if limits else ""
        # A sentence about each value is better than the list of them.
        explained = all(one in description for one in known)
        values = "" if explained or not known else f"Values: {', '.join(known)}."
        return " ".join(text for text in (description, values, details) if text)
