"""How checkov shows a configuration: every value is wrapped in a list, a block is a mapping."""

import re


def blocks(conf, *path):
    """Every block at the end of a path of block names."""
    found = [conf]
    for name in path:
        found = [block for parent in found for block in as_blocks(parent.get(name))]
    return found


def as_blocks(value):
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return [block for item in value for block in as_blocks(item)]
    return []


def value(conf, name):
    """The value of an argument, or None where it is not given."""
    found = conf.get(name)
    while isinstance(found, list) and len(found) == 1:
        found = found[0]
    return None if found in ([], "") else found


def is_literal(found):
    """Whether it is written down here, rather than taken from a variable, a resource or the item of a loop."""
    if not isinstance(found, str):
        return isinstance(found, (bool, int, float))
    return not re.search(r"\$\{|\?|\b(var|local|module|each|data)\.", found) and not re.fullmatch(r"[a-z_]+(\.[a-z_0-9\[\]*]+)+", found)


def number(found):
    """The number in 60, "60" or "60s"; None for anything else."""
    match = re.fullmatch(r"([0-9.]+)s?", str(found))
    return float(match.group(1)) if match else None
