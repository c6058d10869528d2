#!/usr/bin/env python3
"""Every policy passes good.tf, and fails what bad.tf has for it: check.py CHECKOV"""

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def failures(checkov, file):
    """(policy, name of the resource) of every failure of ours."""
    command = [checkov, "--file", str(file), "--framework", "terraform", "--external-checks-dir", str(HERE.parent / "checkov")]
    command += ["--check", "CKV_TANDEM*", "--skip-download", "--output", "json", "--soft-fail"]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if answer.get("passed") == 0:
        sys.exit(f"{file}: no policy was run")
    if answer["results"]["parsing_errors"]:
        sys.exit(f"{file}: not read: {answer['results']['parsing_errors']}")
    return {(failure["check_id"], failure["resource"].split(".")[1]) for failure in answer["results"]["failed_checks"]}


def expected(file):
    names = re.findall(r'^resource "[a-z0-9_]+" "(ckv_tandem_([0-9]+)_[a-z_]+)"', file.read_text(), re.MULTILINE)
    return {(f"CKV_TANDEM_{number}", name) for name, number in names}


def known():
    text = "".join(path.read_text() for path in (HERE.parent / "checkov").glob("*.py"))
    return set(re.findall(r'"(CKV_TANDEM_[0-9]+)"', text))


def main():
    checkov = sys.argv[1]
    wrong = [f"good.tf fails {policy}: {name}" for policy, name in failures(checkov, HERE / "good.tf")]
    found, wanted = failures(checkov, HERE / "bad.tf"), expected(HERE / "bad.tf")
    wrong += [f"bad.tf passes {policy}: {name}" for policy, name in wanted - found]
    wrong += [f"bad.tf fails {policy} too: {name}" for policy, name in found - wanted]
    wrong += [f"bad.tf has nothing for {policy}" for policy in known() - {policy for policy, _ in wanted}]
    print("\n".join(sorted(wrong)) or f"{len(known())} policies catch {len(wanted)} mistakes")
    sys.exit(bool(wrong))


main()
