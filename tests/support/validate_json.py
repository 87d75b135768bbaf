#!/usr/bin/python3
"""Validates what the tests printed as JSON against the schemas that reapctl publishes.

  validate_json.py check SCHEMAS DIR     validate DIR/<schema>-*.json, then empty DIR
  validate_json.py self-test SCHEMAS     check the schemas themselves, and that a wrong document is found

Beyond JSON Schema: one line a document, no duplicate keys, and keys in the order in which the schema lists them.
Exit status 77 (skipped) without the jsonschema module, and when no test that ran kept any document.
"""

import json
import pathlib
import sys

try:
    from jsonschema import Draft202012Validator, ValidationError, validators
except ImportError:
    print("skipped: no Python module jsonschema")
    sys.exit(77)


def ordered_properties(validator, properties, instance, schema):
    yield from Draft202012Validator.VALIDATORS["properties"](validator, properties, instance, schema)
    if isinstance(instance, dict):
        want = [key for key in properties if key in instance]
        have = [key for key in instance if key in properties]
        if want != have:
            yield ValidationError(f"keys are in the order {have}, should be {want}")


Validator = validators.extend(Draft202012Validator, {"properties": ordered_properties})


def unique_keys(pairs):
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"a key is there twice: {keys}")
    return dict(pairs)


def no_constant(name):
    raise ValueError(f"{name} is not JSON")


def parse(text):
    if "\n" in text:
        raise ValueError("more than one line")
    return json.loads(text, object_pairs_hook=unique_keys, parse_constant=no_constant)


def load_schemas(directory):
    suffix = ".schema.json"
    return {p.name[: -len(suffix)]: json.loads(p.read_text()) for p in sorted(pathlib.Path(directory).glob("*" + suffix))}


def errors_of(schema, text):
    try:
        document = parse(text)
    except ValueError as error:
        return [str(error)]
    found = []
    for error in Validator(schema).iter_errors(document):
        causes = "".join("\n    " + cause.message for cause in error.context[:8])
        found.append("/".join(map(str, error.absolute_path)) + ": " + error.message[:400] + causes)
    return found


def empty(directory):
    for path in directory.iterdir():
        path.unlink()


def check(schemas, directory):
    counts = {}
    failed = False
    for path in sorted(directory.glob("*.json")):
        name = path.name.rsplit("-", 1)[0]
        counts[name] = counts.get(name, 0) + 1
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        errors = errors_of(schemas[name], text) if name in schemas else ["there is no such schema"]
        if any("\udc80" <= c <= "\udcff" for c in text):
            errors.append("not UTF-8")
        if errors:
            failed = True
            print(f"{path.name}: {text.encode('utf-8', 'backslashreplace').decode()}")
            print("".join(f"  {error}\n" for error in errors))
    empty(directory)
    print("validated:", counts or "skipped: no test kept a document")
    return 1 if failed else 0 if counts else 77


def style_errors(schema, where=""):
    """Objects are closed, their keys all required, in order and described; a reference may bring the description."""
    if isinstance(schema, list):
        return [e for i, part in enumerate(schema) for e in style_errors(part, f"{where}/{i}")]
    if not isinstance(schema, dict):
        return []
    found = []
    properties = schema.get("properties")
    if isinstance(properties, dict) and "required" in schema:
        if schema.get("additionalProperties") is not False:
            found.append(f"{where}: open")
        if schema["required"] != list(properties):
            found.append(f"{where}: required {schema['required']} is not {list(properties)}")
        for key, value in properties.items():
            if "description" not in value and "$ref" not in value:
                found.append(f"{where}/{key}: no description")
    elif isinstance(properties, dict):
        found.append(f"{where}: nothing is required")
    return found + [e for key, part in schema.items() for e in style_errors(part, f"{where}/{key}")]


def broken_versions(text):
    """Copies of a valid event, each wrong in one way."""
    event = json.loads(text)
    yield "no JSON", text[:-1]
    yield "two lines", text + "\n" + text
    yield "duplicate key", text[:-1] + ',"at":"' + event["at"] + '"}'
    yield "key too many", json.dumps({**event, "extra": 1})
    yield "key missing", json.dumps({k: v for k, v in event.items() if k != "exit_code"})
    yield "wrong order", json.dumps(dict(reversed(event.items())))
    yield "wrong type", json.dumps({**event, "exit_code": "0"})
    yield "wrong word", json.dumps({**event, "result": "fine"})
    yield "wrong time", json.dumps({**event, "at": "2026-11-21 08:00:00"})


def self_test(schemas):
    failures = []
    for name, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        failures += [f"{name}{error}" for error in style_errors(schema)]
    good = '{"at":"2026-11-21T08:00:00.123Z","event":"ended","result":"success","exit_code":0}'
    failures += [f"valid event: {error}" for error in errors_of(schemas["event"], good)]
    for what, text in broken_versions(good):
        if not errors_of(schemas["event"], text):
            failures.append(f"not found: {what}: {text}")
    print("\n".join(failures) or f"schemas are well-formed: {', '.join(schemas)}")
    return 1 if failures else 0


def main(arguments):
    mode, *rest = arguments
    if mode == "check":
        return check(load_schemas(rest[0]), pathlib.Path(rest[1]))
    if mode == "self-test":
        return self_test(load_schemas(rest[0]))
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
