#!/usr/bin/env python3
"""What kubernetes-platform.py refuses: outputs that make manifests nobody could apply."""

import json
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = json.loads((ROOT / "infra/kubernetes/example/every-option.json").read_text())


class Platform(unittest.TestCase):
    def write(self, change=lambda outputs: None, region="asia-south1"):
        """Exit status, what was said, and the tree that was written."""
        outputs = json.loads(json.dumps(EXAMPLE))
        change({name: output["value"] for name, output in outputs.items()})
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        file, tree = Path(folder.name) / "outputs.json", Path(folder.name) / "tree"
        file.write_text(json.dumps(outputs))
        ended = subprocess.run([ROOT / "scripts/kubernetes-platform.py", file, region, "--tree", tree], capture_output=True, text=True, check=False)
        return ended.returncode, ended.stderr, tree / "overlays/stage"

    def assert_refused(self, change, words):
        code, said, _ = self.write(change)
        self.assertNotEqual(code, 0)
        self.assertIn(words, said)

    def test_only_models_of_the_region_are_served_there(self):
        code, said, tree = self.write()

        self.assertEqual(code, 0, said)
        self.assertEqual(sorted(path.name for path in (tree / "models/platform").iterdir() if path.is_dir()), ["chat", "large"])

    def test_a_region_without_models_has_workers_only(self):
        code, said, tree = self.write(lambda outputs: outputs["models"].clear())

        self.assertEqual(code, 0, said)
        self.assertTrue((tree / "workers/platform/kustomization.yaml").exists())
        self.assertFalse((tree / "models/platform").exists())

    def test_secrets_are_files_and_never_values(self):
        _, _, tree = self.write()

        env = (tree / "workers/platform/worker/worker.env").read_text()
        self.assertIn("TANDEM__WEBHOOKS__SECRET_KEY=file:/var/run/secrets/tandem/TANDEM__WEBHOOKS__SECRET_KEY\n", env)

    def test_callers_of_every_region_are_let_in(self):
        _, _, tree = self.write()

        for cidr in ("10.23.0.0/18", "10.39.0.0/18", "10.36.0.0/15"):
            self.assertIn(cidr, (tree / "models/platform/callers.yaml").read_text())

    def test_an_unknown_region_is_refused(self):
        code, said, _ = self.write(region="us-central1")

        self.assertNotEqual(code, 0)
        self.assertIn("it has them in asia-south1", said)

    def test_images_that_are_not_set_are_refused(self):
        self.assert_refused(lambda outputs: outputs["workers"]["asia-south1"].update(image=None), "the platform has no image")
        self.assert_refused(lambda outputs: outputs["models"]["chat"].update(image=None), "the platform has no image")

    def test_a_key_without_a_version_is_refused(self):
        self.assert_refused(lambda outputs: [of.update(key_version=None) for of in outputs["models"].values()], "provider_keys.VLLM_API_KEY")

    def test_a_name_that_is_no_name_of_a_service_is_refused(self):
        self.assert_refused(lambda outputs: outputs["models"].update({"llama-3.1": outputs["models"].pop("chat")}), "lower-case letters")

    def test_weights_elsewhere_are_refused(self):
        self.assert_refused(lambda outputs: outputs["models"]["chat"].update(weights="gs://b/other"), "its weights are expected")


unittest.main()
