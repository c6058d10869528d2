"""Events as the libraries of their receivers see them."""

import http.server
import json
import pathlib
import subprocess
import threading
import time

import httpx
import openai
import pytest
from conftest import BINARY, start
from test_openai_sdk import finished, lines, submit

VERIFY = pathlib.Path(__file__).resolve().parents[1] / "hooks" / "verify.mjs"


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps what it gets, and answers with its status."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.got, self.status = [], 200
        self.url = f"http://127.0.0.1:{self.server_port}/hook"

    def event(self, kind):
        """The first event of that type; the limit only stops a hung run."""
        for _ in range(1500):
            for body, headers in list(self.got):
                if json.loads(body)["type"] == kind:
                    return body, headers
            time.sleep(0.02)
        raise AssertionError(f"no {kind} came: {self.got}")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.got.append((body, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A Tandem that may send to this machine."""
    allowed = {"TANDEM__WEBHOOKS__ALLOW": "127.0.0.1", "TANDEM__WEBHOOKS__ALLOW_HTTP": "true"}
    process, site = start(tmp_path_factory.mktemp("webhooks"), TANDEM__WEBHOOKS__POLL_MS="20", **allowed)
    yield site
    process.terminate()
    assert process.wait(timeout=20) == 0


@pytest.fixture
def receiver():
    receiver = Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    yield receiver
    receiver.shutdown()


@pytest.fixture
def client(site):
    return openai.OpenAI(base_url=site["url"] + "/v1", api_key=site["key"], max_retries=0)


def api(site, method, path, **body):
    headers = {"authorization": "Bearer " + site["key"]}
    answer = httpx.request(method, site["url"] + path, headers=headers, json=body or None, timeout=60, trust_env=False)
    return answer.raise_for_status().json()


def tandem(site, *arguments):
    environment = {"TANDEM_URL": site["url"], "TANDEM_API_KEY": site["key"]}
    run = subprocess.run([BINARY, "webhooks", *arguments], env=environment, text=True, capture_output=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def of_node(secret, headers, body):
    message = json.dumps({"secret": secret, "headers": headers, "body": body})
    return subprocess.run(["node", VERIFY], input=message, text=True, capture_output=True)


def test_openais_and_the_standards_libraries_believe_an_event(site, client, receiver):
    events = ["batch.in_progress", "batch.progress", "batch.completed"]
    webhook = api(site, "POST", "/v1/webhooks", url=receiver.url, events=events)

    batch = finished(client, submit(client, lines(8)).id)

    body, headers = receiver.event("batch.completed")
    event = client.webhooks.unwrap(body, headers, secret=webhook["secret"])
    assert (event.type, event.data.id, event.id) == ("batch.completed", batch.id, headers["webhook-id"])
    assert isinstance(event, openai.types.webhooks.BatchCompletedWebhookEvent)
    node = of_node(webhook["secret"], headers, body)
    assert (node.returncode, node.stdout.strip()) == (0, "batch.completed"), node.stderr
    body, headers = receiver.event("batch.progress")
    assert client.webhooks.unwrap(body, headers, secret=webhook["secret"]).data.percent in (25, 50, 75)
    tandem(site, "delete", webhook["id"])


def test_nobody_believes_a_changed_event_or_another_secret(site, client, receiver):
    webhook = api(site, "POST", "/v1/webhooks", url=receiver.url, events=["batch.completed"])
    api(site, "POST", f"/v1/webhooks/{webhook['id']}/test")
    body, headers = receiver.event("webhook.test")

    for secret, changed in [(webhook["secret"], body + " "), ("whsec_" + "A" * 43 + "=", body)]:
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.unwrap(changed, headers, secret=secret)
        assert of_node(secret, headers, changed).returncode != 0
    tandem(site, "delete", webhook["id"])


def test_during_a_rotation_both_secrets_are_good(site, client, receiver):
    webhook = api(site, "POST", "/v1/webhooks", url=receiver.url, events=["batch.completed"])
    rotated = api(site, "POST", f"/v1/webhooks/{webhook['id']}/rotate_secret", grace_secs=3600)
    api(site, "POST", f"/v1/webhooks/{webhook['id']}/test")

    body, headers = receiver.event("webhook.test")

    for secret in [webhook["secret"], rotated["secret"]]:
        client.webhooks.verify_signature(body, headers, secret=secret)
        assert of_node(secret, headers, body).returncode == 0
    tandem(site, "delete", webhook["id"])


def test_the_command_line_makes_tries_and_replays(site, receiver):
    receiver.status = 503
    webhook = json.loads(tandem(site, "create", receiver.url, "--description", "for the team", "--json"))
    assert webhook["secret"] not in tandem(site, "list") and webhook["id"] in tandem(site, "list")

    tandem(site, "test", webhook["id"])
    receiver.event("webhook.test")
    receiver.status = 200
    delivery = json.loads(tandem(site, "deliveries", webhook["id"], "--json").splitlines()[0])
    assert "pending" in tandem(site, "replay", webhook["id"], delivery["id"])

    for _ in range(1500):
        shown = tandem(site, "deliveries", webhook["id"])
        if "delivered 200" in shown:
            break
        time.sleep(0.02)
    assert "refused 503" in shown and "delivered 200" in shown, shown
    assert {headers["webhook-id"] for _, headers in receiver.got} == {delivery["event_id"]}
    tandem(site, "disable", webhook["id"])
    assert "disabled" in tandem(site, "list")
    tandem(site, "delete", webhook["id"])


def test_inside_addresses_are_refused(site):
    for url in ["https://169.254.169.254/latest", "http://localhost:9", "https://[::1]/", "https://10.0.0.1/"]:
        with pytest.raises(httpx.HTTPStatusError, match="400"):
            api(site, "POST", "/v1/webhooks", url=url, events=["batch.completed"])
