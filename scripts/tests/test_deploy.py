#!/usr/bin/env python3
"""`make deploy` against gcloud, terraform, kubectl and curl that only remember what they are told: the order, and what a second run does."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "acme-stage-1"

# One program under four names. It knows a little of the cloud: what was made before, and whether anything differs from it.
FAKE = f"#!{sys.executable} -IS" + r'''
import json, os, pathlib, re, sys
cloud = pathlib.Path(os.environ["FAKE_CLOUD"])
state = json.loads((cloud / "state.json").read_text())
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
line = " ".join([name, *words])
with (cloud / "calls").open("a") as calls:
    calls.write(re.sub(r"\.deploy/[^/]+/infra/", "", line) + "\n")

def done(code=0, text=""):
    (cloud / "state.json").write_text(json.dumps(state))
    print(text, end="")
    sys.exit(code)

if any(line.startswith(refused) for refused in state["refuses"]):
    done(1)
if name == "terraform":
    root = pathlib.Path(words[0].removeprefix("-chdir="))
    if root.name == "workloads":
        key = "workloads " + (root / "prefix").read_text() if words[1] != "init" else ""
        if words[1] == "init":
            (root / "prefix").write_text(next(word for word in words if "prefix=" in word))
    else:
        key = root.name
    if words[1] == "plan":
        done(0 if key in state["applied"] else 2)
    if words[1] == "apply" and "-target=module.secrets" in words:
        state["secrets"] = {"tandem-stage-vllm": 0, "tandem-stage-webhooks": 0}
    elif words[1] == "apply":
        state["applied"].append(key)
    if words[1] == "init" and "-migrate-state" in words:
        state["bucket"] = True
        (root / "terraform.tfstate").write_text("moved")
    if words[1] == "output":
        done(0, pathlib.Path(os.environ["FAKE_OUTPUTS"]).read_text())
if name == "gcloud":
    if words[:3] == ["storage", "buckets", "describe"]:
        done(0 if state["bucket"] else 1)
    if words[:2] == ["secrets", "describe"]:
        done(0 if words[2] in state["secrets"] else 1)
    if words[:3] == ["secrets", "versions", "list"]:
        done(0, "1\n" if state["secrets"].get(words[3]) else "")
    if words[:3] == ["secrets", "versions", "add"]:
        state["secrets"][words[3]] = len(sys.stdin.read())
    if words[:3] == ["container", "clusters", "get-credentials"]:
        state["cluster"] = words[3]
if name == "kubectl":
    folder = words[-1]
    if words[0] == "diff":
        # Without a namespace there is nothing to compare with.
        done(0 if state["cluster"] in state["manifests"] else 2)
    if words[0] == "apply":
        assert list(pathlib.Path(folder).glob("platform/kustomization.yaml")), folder
        state["manifests"].append(state["cluster"])
if name == "curl" and "--write-out" in words:
    done(0, "401")
if name == "curl":
    done(0, '{"openapi": "3.1.0"}')
done()
'''


class Deploy(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        # The script works beside itself, so it gets a tree of its own.
        self.tree = self.folder / "tree"
        for part in ("infra", "scripts"):
            shutil.copytree(ROOT / part, self.tree / part, ignore=shutil.ignore_patterns(".terraform", "*.auto.tfvars"))
        shutil.copy(ROOT / "Makefile", self.tree)
        programs, self.cloud = self.folder / "bin", self.folder / "cloud"
        programs.mkdir()
        self.cloud.mkdir()
        for name in ("gcloud", "terraform", "kubectl", "curl"):
            (programs / name).write_text(FAKE)
            (programs / name).chmod((programs / name).stat().st_mode | stat.S_IEXEC)
        self.state = {"bucket": False, "applied": [], "secrets": {}, "manifests": [], "cluster": "", "refuses": []}
        self.variables = self.tree / "infra/terraform/platform" / f"{PROJECT}.auto.tfvars"
        self.variables.write_text('images = { gateway = "r/gateway@sha256:' + "1" * 64 + '" }\n')
        self.env = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "FAKE_CLOUD": str(self.cloud),
            "FAKE_OUTPUTS": str(ROOT / "infra/kubernetes/example/every-option.json"),
            "YES": "1",
        }
        for name in ("PLAN", "STEPS", "VARS", "IMAGES", "GATEWAY", "BOOTSTRAP", "SMOKE_KEY", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"):
            self.env.pop(name, None)

    def deploy(self, *, environment="stage", project=PROJECT, **settings):
        (self.cloud / "state.json").write_text(json.dumps(self.state))
        (self.cloud / "calls").write_text("")
        command = ["make", "--no-print-directory", "-C", str(self.tree), "deploy", f"ENV={environment}", f"PROJECT={project}"]
        ended = subprocess.run(command, env=self.env | settings, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        self.state = json.loads((self.cloud / "state.json").read_text())
        self.calls = (self.cloud / "calls").read_text().splitlines()
        self.said = ended.stdout + ended.stderr
        return ended.returncode

    def place(self, beginning, containing=""):
        found = [at for at, call in enumerate(self.calls) if call.startswith(beginning) and containing in call]
        self.assertTrue(found, f"{beginning}...{containing} is not among\n" + "\n".join(self.calls) + self.said)
        return found[0]

    def assert_order(self, *calls):
        places = [self.place(*call) for call in calls]
        self.assertEqual(places, sorted(places), "\n".join(self.calls))

    def changes(self):
        changing = ("terraform", "kubectl apply", "gcloud secrets versions add")
        return [call for call in self.calls if call.startswith(changing) and not any(f" {word}" in call for word in ("init -rec", "plan ", "output "))]

    def test_a_first_deploy_makes_everything_in_order(self):
        self.assertEqual(self.deploy(), 0, self.said)

        self.assert_order(
            ("terraform -chdir=terraform/bootstrap", "init"),
            ("terraform -chdir=terraform/bootstrap", "apply plan.bin"),
            ("terraform -chdir=terraform/bootstrap", "-migrate-state"),
            ("terraform -chdir=terraform/platform", "-target=module.registry"),
            ("gcloud secrets versions add tandem-stage-vllm", ""),
            ("terraform -chdir=terraform/platform", "plan -out"),
            ("terraform -chdir=terraform/platform", "apply plan.bin"),
            ("terraform -chdir=terraform/workloads", "prefix=workloads/asia-south1/workers"),
            ("terraform -chdir=terraform/workloads", "prefix=workloads/asia-south1/models"),
            ("kubectl apply --server-side", "overlays/stage/workers"),
            ("kubectl rollout status deployment/worker --namespace batch", ""),
            ("kubectl apply --server-side", "overlays/stage/models"),
            ("curl", "https://ai.example.com/openapi.json"),
        )
        self.assertEqual(self.state["secrets"], {"tandem-stage-vllm": 44, "tandem-stage-webhooks": 64})
        self.assertIn("rabbitmq=true", self.calls[self.place("terraform -chdir=terraform/workloads", "plan -out")])

    def test_a_second_deploy_changes_nothing(self):
        self.assertEqual(self.deploy(), 0, self.said)
        self.assertEqual(self.deploy(), 0, self.said)

        self.assertEqual(self.changes(), [])

    def test_new_digests_change_the_platform_only(self):
        self.assertEqual(self.deploy(), 0, self.said)
        self.state["applied"].remove("platform")

        self.assertEqual(self.deploy(), 0, self.said)

        self.assertEqual(self.changes(), ["terraform -chdir=terraform/platform apply plan.bin"])

    def test_a_plan_calls_nobody(self):
        self.assertEqual(self.deploy(PLAN="1"), 0, self.said)

        self.assertEqual(self.calls, [])
        for words in ("bootstrap apply plan.bin", "-target=module.registry", "platform apply plan.bin", "kubectl apply", "smoke-test.sh"):
            self.assertIn(words, self.said)

    def test_a_plan_needs_no_tools_and_no_variables(self):
        self.variables.unlink()

        self.assertEqual(self.deploy(PLAN="1"), 0, self.said)

    def test_without_a_yes_nothing_is_changed(self):
        self.assertNotEqual(self.deploy(YES=""), 0)

        self.assertEqual(self.calls, [])

    def test_ci_plans_in_one_job_and_applies_in_another(self):
        self.assertEqual(self.deploy(), 0, self.said)
        self.state["applied"].remove("platform")

        self.assertEqual(self.deploy(STEPS="plan"), 0, self.said)
        self.assertEqual(self.changes(), [])
        self.assertEqual(self.deploy(STEPS="apply"), 0, self.said)
        self.assertEqual(len(self.changes()), 1, self.changes())

    def test_a_plan_is_applied_once(self):
        self.assertEqual(self.deploy(), 0, self.said)

        self.assertNotEqual(self.deploy(STEPS="apply"), 0)
        self.assertIn("there is no plan to apply", self.said)

    def test_bootstrap_alone_brings_it_up_to_date(self):
        self.assertEqual(self.deploy(), 0, self.said)
        self.state["applied"].remove("bootstrap")

        self.assertEqual(self.deploy(STEPS="bootstrap"), 0, self.said)

        self.assert_order(("terraform -chdir=terraform/bootstrap", "init -reconfigure -backend-config"), ("terraform -chdir=terraform/bootstrap", "apply plan.bin"))

    def test_what_was_removed_from_the_tree_is_not_deployed(self):
        self.assertEqual(self.deploy(), 0, self.said)
        (self.tree / "infra/terraform/platform/checks.tf").unlink()

        self.assertEqual(self.deploy(), 0, self.said)

        self.assertFalse((self.tree / ".deploy" / PROJECT / "infra/terraform/platform/checks.tf").exists())

    def test_a_state_that_did_not_move_is_continued(self):
        self.state["refuses"] = ["terraform -chdir=.deploy/acme-stage-1/infra/terraform/platform init"]
        self.assertNotEqual(self.deploy(), 0)
        local = self.tree / ".deploy" / PROJECT / "infra/terraform/bootstrap/terraform.tfstate"
        self.assertFalse(local.exists(), "a state that has moved is not kept here")
        local.write_text("not moved")
        self.state["refuses"] = []

        self.assertEqual(self.deploy(), 0, self.said)

        self.place("terraform -chdir=terraform/bootstrap", "-migrate-state")

    def test_a_failed_step_ends_it(self):
        self.state["refuses"] = ["terraform -chdir=.deploy/acme-stage-1/infra/terraform/platform plan"]

        self.assertNotEqual(self.deploy(), 0)

        self.assertFalse([call for call in self.calls if "terraform/platform apply plan.bin" in call or call.startswith("kubectl")], self.calls)

    def test_images_that_were_not_pushed_are_told(self):
        self.variables.write_text('images = { gateway = "r/gateway@sha256:' + "0" * 64 + '" }\n')

        self.assertNotEqual(self.deploy(), 0)

        self.assertIn("push the images", self.said)
        self.assertFalse([call for call in self.calls if "plan.bin" in call and "platform" in call], self.calls)

    def test_variables_are_needed(self):
        self.variables.unlink()

        self.assertNotEqual(self.deploy(), 0)

        self.assertIn("is missing", self.said)
        self.assertEqual(self.calls, [])

    def test_wrong_words_are_refused(self):
        for settings, words in (({"environment": "test"}, "ENV is"), ({"project": "12345"}, "PROJECT is"), ({"STEPS": "aply"}, "STEPS has no aply")):
            self.assertNotEqual(self.deploy(**settings), 0)
            self.assertIn(words, self.said)
            self.assertEqual(self.calls, [])


class PushImages(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / "images.json"

    def push(self, digest):
        inspect = f'echo "elsewhere/gateway@sha256:{"3" * 64}"; for image; do :; done; echo "${{image%:*}}@{digest}"'
        for name, says in (("docker", f'[ "$1" != image ] || {{ {inspect}; }}'), ("gcloud", "true")):
            (self.folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.folder}/calls"\n{says}\n')
            (self.folder / name).chmod(0o755)
        command = [ROOT / "scripts/push-images.sh", "asia-south1-docker.pkg.dev/p/images", "0a1b", self.file]
        return subprocess.run(command, env=os.environ | {"PATH": f"{self.folder}:{os.environ['PATH']}"}, capture_output=True, text=True, check=False)

    def test_digests_of_ours_are_written_and_others_stay(self):
        self.file.write_text(json.dumps({"images": {"vllm": "r/vllm@sha256:" + "2" * 64, "worker": "old"}}))

        ended = self.push("sha256:" + "1" * 64)

        self.assertEqual(ended.returncode, 0, ended.stderr)
        images = json.loads(self.file.read_text())["images"]
        self.assertEqual(sorted(images), ["gateway", "migrate", "orchestrator", "vllm", "worker"])
        self.assertEqual(images["migrate"], "asia-south1-docker.pkg.dev/p/images/tandem@sha256:" + "1" * 64)
        self.assertIn("docker push --quiet asia-south1-docker.pkg.dev/p/images/worker:0a1b", (self.folder / "calls").read_text())

    def test_a_push_without_a_digest_is_an_error(self):
        self.assertNotEqual(self.push("").returncode, 0)
        self.assertFalse(self.file.exists())


unittest.main()
