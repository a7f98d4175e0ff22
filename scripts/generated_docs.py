"""Write what the docs say of settings and routes from their declarations: `make docs`.

`.env.example` as a whole, and one block each of docs/settings.md and docs/api.md.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from app.runtime.models import DEMO_MODEL
from app.setting_names import names_of
from app.settings import ROOT, Settings
from app.web.application import openapi
from app.web.openapi.openapi_document import TAGS
from scripts import env_example
from scripts.command_line import run_command
from scripts.env_example import shown

BEGIN, END = "<!-- written by make docs -->\n", "<!-- end of what make docs writes -->\n"
MORE = {
    "search": "search.md",
    "collections": "search.md#collections",
    "feedback": "feedback.md",
    "evaluation": "evaluation.md",
    "labels": "understanding.md",
    "annotators": "understanding.md#words-in-pictures",
    "jobs": "ingest.md#jobs",
    "keys": "security.md#access",
    "system": "operate.md#metrics-and-logs",
}
"""The page with more about the routes of a tag."""
EVERYWHERE = {"namespace", "thumbnail_size", "v", "expires", "signature"}
"""Parameters that the page describes once, for all routes that take them."""


def settings_table() -> str:
    """Every setting with its default and meaning."""
    rows = (
        f"| `{names_of(name)[0]}` | {shown(field.default)} | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    )
    return "| setting | default | meaning |\n|---|---|---|\n" + "".join(rows)


def route_tables() -> str:
    """Every route with its parameters, the role it needs and what it does, by the tags."""
    document = openapi(DEMO_MODEL)
    return "\n".join(_tables(document["paths"]))


def _tables(paths: Mapping[str, Any]) -> Iterator[str]:
    operations = [
        (f"{method.upper()} {path}", operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]
    for tag in TAGS:
        name = tag["name"]
        more = f" More: [{MORE[name].partition('#')[0]}]({MORE[name]})." if name in MORE else ""
        rows = (_row(*one) for one in operations if one[1]["tags"] == [name])
        heading = f"### {name.capitalize()}\n\n{tag['description']}{more}\n\n"
        yield heading + "| route | role | what it does |\n|---|---|---|\n" + "".join(rows)


def _row(route: str, operation: Mapping[str, Any]) -> str:
    names = [
        one["name"]
        for one in operation.get("parameters", ())
        if one["in"] == "query" and one["name"] not in EVERYWHERE
    ]
    query = "?" + "&".join(f"{name}=…" for name in names) if names else ""
    told = " ".join(operation["description"].partition("\n\n")[0].split())
    return f"| `{route}{query}` | {operation.get('x-role', '')} | {told} |\n"


def generated() -> dict[str, str]:
    """The text of each file, by its path in the project."""
    return {
        ".env.example": env_example.text(),
        "docs/settings.md": _with_block("docs/settings.md", settings_table()),
        "docs/api.md": _with_block("docs/api.md", route_tables()),
    }


def _with_block(page: str, block: str) -> str:
    before, _, rest = (ROOT / page).read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def main() -> None:
    """Write the files."""
    for path, text in generated().items():
        (ROOT / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_command(main)
