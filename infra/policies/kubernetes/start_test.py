#!/usr/bin/env python3
"""The command line of a model server, as it is rendered, starts vLLM with its arguments and its key, or not at all: start_test.py FILE"""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import yaml

RENDERED = Path(sys.argv.pop())
KEY = "/var/run/secrets/vllm/api-key"
FAKE = '#!/bin/sh\nprintf "%s\\n" "$VLLM_API_KEY" "$@"\n'


class Start(unittest.TestCase):
    def setUp(self):
        things = [each for each in yaml.safe_load_all(RENDERED.read_text()) if each["kind"] == "Deployment"]
        self.container = things[0]["spec"]["template"]["spec"]["containers"][0]
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "vllm").write_text(FAKE)
        (self.folder / "vllm").chmod(0o755)

    def start(self, key):
        if key is not None:
            (self.folder / "key").write_text(key)
        words = [word.replace(KEY, str(self.folder / "key")) for word in self.container["command"] + self.container["args"]]
        return subprocess.run(words, env={"PATH": f"{self.folder}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False)

    def test_a_key_without_a_newline_reaches_it(self):
        ended = self.start("c2VjcmV0")

        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual(ended.stdout.splitlines(), ["c2VjcmV0", "serve", *self.container["args"]])

    def test_a_newline_is_no_part_of_the_key(self):
        self.assertEqual(self.start("c2VjcmV0\n").stdout.splitlines()[0], "c2VjcmV0")

    def test_without_a_key_it_does_not_start(self):
        for key in (None, ""):
            ended = self.start(key)

            self.assertNotEqual(ended.returncode, 0)
            self.assertEqual(ended.stdout, "")


unittest.main()
