#!/usr/bin/env python3
"""Writes the tables of inputs and outputs into the README of every Terraform root and module: terraform-docs.py [--check]

What is above the mark in a README is written by hand and kept.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "infra" / "terraform"
MARK = "<!-- written by scripts/terraform-docs.py -->\n"


def blocks(text, kind):
    """Name and body of each block; a block ends with the first brace that begins a line."""
    return re.findall(rf'^{kind} "([a-z0-9_]+)" {{\n(.*?)^}}', text, re.MULTILINE | re.DOTALL)


def argument(body, name):
    """The text of an argument of the block itself: a heredoc, several lines that end with a bracket, or one line."""
    heredoc = re.search(rf"^  {name} += <<-EOT\n(.*?)^ *EOT$", body, re.MULTILINE | re.DOTALL)
    if heredoc:
        return " ".join(heredoc.group(1).split())
    found = re.search(rf"^  {name} += (.*(?:\n    .*)*(?:\n  [)}}\]]+.*)?)", body, re.MULTILINE)
    return found.group(1) if found else None


def description(body):
    text = argument(body, "description") or ""
    return text.strip('"').replace('\\"', '"').replace("$${", "${").replace("|", "\\|")


def kind(body):
    found = re.match(r"[a-z]+(?:\((?:string|number|bool|object)\b)?", argument(body, "type") or "any").group(0)
    return found + ")" * found.count("(")


def default(body):
    found = argument(body, "default")
    if found is None:
        return "required"
    return f"`{found}`" if "\n" not in found else "see variables.tf"


def tables(folder):
    read = lambda name: (folder / name).read_text() if (folder / name).exists() else ""
    lines = ["## Inputs", "", "| name | type | default | |", "|---|---|---|---|"]
    for name, body in blocks(read("variables.tf"), "variable"):
        lines.append(f"| `{name}` | {kind(body)} | {default(body)} | {description(body)} |")
    lines += ["", "## Outputs", "", "| name | |", "|---|---|"]
    for file in ("main.tf", "outputs.tf"):
        for name, body in blocks(read(file), "output"):
            lines.append(f"| `{name}` | {description(body)} |")
    return "\n".join(lines) + "\n"


def main():
    stale = []
    for folder in sorted(path.parent for path in ROOT.rglob("versions.tf") if ".terraform" not in path.parts):
        readme = folder / "README.md"
        if not readme.exists():
            sys.exit(f"{readme} is missing: say in a sentence what it is, then the mark {MARK}")
        before = readme.read_text()
        after = before.split(MARK)[0].rstrip() + "\n\n" + MARK + "\n" + tables(folder)
        if before != after:
            stale.append(str(readme.relative_to(ROOT)))
            if "--check" not in sys.argv:
                readme.write_text(after)
    if stale and "--check" in sys.argv:
        sys.exit("not up to date, run scripts/terraform-docs.py: " + ", ".join(stale))


main()
