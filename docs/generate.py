"""Write what the documentation takes from the code: docs/findings.md, and the table of tasks in README.md.

With ``--check`` nothing is written: the exit code is 1, with one line that says why, when a page is out of date.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "playbooks" / "collections"))  # the checkout under its name as a collection
PACKAGE = "ansible_collections.cadence.upkeep.plugins"

BEGIN, END = "<!-- tasks:begin -->", "<!-- tasks:end -->"

FINDINGS_HEAD = """\
# Findings: every code, what it means, what to do

Made from the code by `docs/generate.py`; change the `codes.py` of the domain, not this page. Codes are stable: alerts
and filters may rely on them. What a finding measured, and the remedy for the very object, are in the report.
"""


class OutOfDate(Exception):
    """A page is not what the code makes of it."""


def findings_page() -> str:
    """Return the text of docs/findings.md: a table for each domain, the run itself first."""
    folders = sorted(
        (ROOT / "plugins" / "module_utils").glob("_*/codes.py"), key=lambda path: path.parent.name != "_checkup"
    )
    parts = [FINDINGS_HEAD]
    for path in folders:
        codes = importlib.import_module(f"{PACKAGE}.module_utils.{path.parent.name}.codes").CODES
        title = "The run" if path.parent.name == "_checkup" else path.parent.name[1:].capitalize()
        rows = [(f"`{slug}`", code.meaning, code.remedy) for slug, code in codes.items()]
        parts.append(f"## {title}\n\n{table(('code', 'meaning', 'remedy'), rows)}\n")
    return "\n".join(parts)


def tasks_table() -> str:
    """Return the table of tasks of README.md, in the order in which a run does them."""
    read_catalogue = importlib.import_module(f"{PACKAGE}.plugin_utils.catalogue").read_catalogue
    entries = sorted(read_catalogue({}).values(), key=lambda entry: (entry.order, entry.id))
    rows = [
        (
            f"`{entry.id}`",
            entry.cadence,
            entry.does,
            f"acts, at most {entry.budget}" if entry.acts else "looks",
            _where(entry),
        )
        for entry in entries
    ]
    return table(("task", "cadence", "what it does", "how", "where"), rows)


def _where(entry: Any) -> str:
    if not entry.source:
        return "every host"
    return f"`{entry.source}` with `{entry.part}`" if entry.optional else f"`{entry.source}`"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def readme_with(text: str, tasks: str) -> str:
    """Return *text* with *tasks* between its markers; raise ``OutOfDate`` when it has none."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise OutOfDate(f"README.md lacks the markers {BEGIN} and {END}, between which the table of tasks belongs.")
    return f"{before}{BEGIN}\n{tasks}\n{END}{after}"


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: generate.py [--check]\n")
        return 2
    readme, findings = ROOT / "README.md", ROOT / "docs" / "findings.md"
    try:
        old = {path: path.read_text(encoding="utf-8") if path.is_file() else "" for path in (readme, findings)}
        new = {readme: readme_with(old[readme], tasks_table()), findings: findings_page()}
        stale = [str(path.relative_to(ROOT)) for path in new if new[path] != old[path]]
        if arguments and stale:
            raise OutOfDate(f"{' and '.join(stale)}: out of date, run docs/generate.py.")
    except OutOfDate as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for path in new:
        if new[path] != old[path]:
            path.write_text(new[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
