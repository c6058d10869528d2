#!/usr/bin/env python3
"""What is written by hand about alarms and policies is complete: whoever adds one is told where to say so."""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "infra/terraform/modules/monitoring"


class Documents(unittest.TestCase):
    def test_every_alarm_has_a_row_in_operations(self):
        alerts = (MONITORING / "alerts.tf").read_text()
        # Keys of `alarms`, then those of `thresholds`, of which some end in a name.
        names = {name.replace("_", " ") for name in re.findall(r"^    ([a-z_]+) = \{$", alerts, re.MULTILINE)}
        names |= {re.sub(r" \$\{name\}", " ...", name) for name in re.findall(r'"([a-z -]+(?: \$\{name\})?)" => \{', alerts)}
        names |= set(re.findall(r'^      "([a-z ]+)" = \{$', alerts, re.MULTILINE))
        names |= {name for name in re.findall(r'display_name += "\$\{var\.prefix\}: ([^$"]+)"', alerts)}
        names |= {name.strip() + " ..." for name in re.findall(r'display_name = "\$\{var\.prefix\}: ([a-z ]+)\$', (MONITORING / "slo.tf").read_text())}
        table = (ROOT / "docs/operations.md").read_text().partition("### Alarms")[2]
        rows = set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))

        self.assertGreater(len(names), 12)
        self.assertEqual(rows, names)

    def test_what_scales_and_alarms_is_measured_by_the_code(self):
        code = "".join(path.read_text() for folder in ("crates", "gateway", "orchestrator", "worker") for path in (ROOT / folder).rglob("src/**/*.rs"))
        measured = {name.replace(".", "_") for name in re.findall(r'"(tandem\.[a-z_.]+)"', code)}
        # Relays have the same instruments under the names of what they carry.
        relays = re.findall(r'name\("([a-z_]+)"\)', (ROOT / "crates/queue/src/relay/instruments.rs").read_text())
        measured |= {f"tandem_{what}_{part}" for what in ("usage_events", "batch_events") for part in relays}
        files = [*(ROOT / "infra/kubernetes").rglob("*.yaml"), *MONITORING.glob("*.tf")]
        used = {name for file in files for name in re.findall(r"\btandem_(?:attempts|batch|limits|ledger|usage|doorbell|webhooks)_[a-z_]+", file.read_text())}

        self.assertGreater(len(used), 5)
        # Units and kinds are put behind names when they are exported.
        self.assertEqual([name for name in sorted(used) if not any(name in (known, known + "_total", known + "_seconds") for known in measured)], [])

    def test_every_policy_is_in_the_table_of_mistakes(self):
        table = (ROOT / "infra/terraform/README.md").read_text()
        manifests = re.findall(r"^@policy\ndef ([a-z_]+)\(", (ROOT / "infra/policies/kubernetes/policies.py").read_text(), re.MULTILINE)
        numbers = {int(n) for path in (ROOT / "infra/policies/checkov").glob("*.py") for n in re.findall(r'"CKV_TANDEM_([0-9]+)"', path.read_text())}
        said = {int(n) for words in re.findall(r"CKV_TANDEM_[0-9]+(?:(?:,| and) [0-9]+)*", table) for n in re.findall(r"[0-9]+", words)}

        self.assertGreater(len(manifests), 20)
        self.assertEqual([name for name in manifests if name.replace("_", "-") not in table], [])
        self.assertEqual(numbers, said)


unittest.main()
