"""What a user reads of a batch beside its files: results before the end, events, the audit and its proof, redrive, cost."""

import json
import pathlib
import subprocess
import time

import httpx
import openai
import pytest
from conftest import BINARY
from test_openai_sdk import finished, lines, submit


def get(server, path, **options):
    headers = {"authorization": "Bearer " + server["key"]} | options.pop("headers", {})
    return httpx.get(server["url"] + path, headers=headers, timeout=60, **options)


def tandem(server, *arguments):
    environment = {"TANDEM_URL": server["url"], "TANDEM_API_KEY": server["key"]}
    return subprocess.run([BINARY, "batch", *arguments], env=environment, text=True, capture_output=True)


def running(client, batch_id):
    """Waits until the lines run; the limit only stops a hung run."""
    for _ in range(600):
        if client.batches.retrieve(batch_id).status == "in_progress":
            return
        time.sleep(0.02)
    raise AssertionError(f"{batch_id} never ran")


def test_results_are_paged_by_line(client, server):
    batch = submit(client, lines(25))
    finished(client, batch.id)
    seen, after, more = [], 0, "true"

    while more == "true":
        page = get(server, f"/v1/batches/{batch.id}/results", params={"after_line": after, "limit": 10})
        page.raise_for_status()
        seen += [json.loads(line) for line in page.text.splitlines()]
        after, more = page.headers["x-tandem-last-line"], page.headers["x-tandem-has-more"]

    assert [record["line"] for record in seen] == list(range(1, 26))
    assert [record["custom_id"] for record in seen] == [f"line-{n}" for n in range(25)]


def test_a_tail_ends_with_the_batch(client, server):
    batch = submit(client, lines(12))
    headers = {"authorization": "Bearer " + server["key"], "accept": "text/event-stream", "last-event-id": "2"}
    path = f"{server['url']}/v1/batches/{batch.id}/results"

    with httpx.stream("GET", path, headers=headers, timeout=60) as answer:
        events = [dict(line.split(": ", 1) for line in event.splitlines() if not line.startswith(":"))
                  for event in answer.read().decode().strip().split("\n\n")]
    events = [event for event in events if event]

    assert [event.get("id") for event in events] == [str(n) for n in range(3, 13)] + [None]
    assert {event["event"] for event in events[:-1]} == {"result"}
    assert (events[-1]["event"], json.loads(events[-1]["data"])["status"]) == ("batch.completed", "completed")


def test_the_files_are_proven_and_a_lost_line_is_found(client, server, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(lines(30))
    batch = submit(client, lines(30))
    finished(client, batch.id)
    audit = tandem(server, "audit", batch.id)
    assert audit.returncode == 0, audit.stderr
    (tmp_path / "audit.json").write_text(audit.stdout)
    assert tandem(server, "download", batch.id, "-o", tmp_path / "out.jsonl").returncode == 0
    arguments = ["verify", "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl"]

    whole = tandem(server, *arguments, "--audit", tmp_path / "audit.json")
    output = pathlib.Path(tmp_path / "out.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "out.jsonl").write_text("".join(output[:7] + output[8:]))
    lost = tandem(server, *arguments)
    (tmp_path / "out.jsonl").write_text("".join(output).replace('"status_code":200', '"status_code":201', 1))
    changed = tandem(server, *arguments, "--audit", tmp_path / "audit.json")

    assert whole.returncode == 0 and "30 lines" in whole.stdout, whole.stderr
    assert lost.returncode == 1 and "line 8 " in lost.stderr, lost.stderr
    assert changed.returncode == 1 and "not those of the audit" in changed.stderr, changed.stderr


def test_cancelled_lines_are_redriven_under_their_names(client, server):
    slow = submit(client, lines(300, max_tokens=2000))
    running(client, slow.id)
    client.batches.cancel(slow.id)
    cancelled = finished(client, slow.id)
    left = cancelled.request_counts.model_extra["cancelled"]

    child = client.post(f"/batches/{slow.id}/redrive", body={"lines": ["cancelled"]}, cast_to=openai.types.Batch)
    client.batches.cancel(child.id)
    child = finished(client, child.id)

    assert left > 0 and child.model_extra["redrive_of"] == slow.id
    content = client.files.content(child.input_file_id).read().decode().splitlines()
    assert len(content) == left


def test_a_running_batch_and_a_strangers_batch_are_not_redriven(client):
    done = submit(client, lines(2))
    finished(client, done.id)

    with pytest.raises(openai.ConflictError, match="no error file"):
        client.post(f"/batches/{done.id}/redrive", body={"lines": ["failed"]}, cast_to=object)
    with pytest.raises(openai.NotFoundError):
        client.post("/batches/batch_x/redrive", body={"lines": ["failed"]}, cast_to=object)
    with pytest.raises(openai.BadRequestError, match="lines"):
        client.post(f"/batches/{done.id}/redrive", body={"lines": []}, cast_to=object)


def test_a_batch_tells_its_cost_or_why_not(client):
    batch = finished(client, submit(client, lines(5)).id)

    usage = batch.usage.model_extra
    assert [model["model"] for model in usage["models"]] == ["tandem-sim"]
    assert usage["models"][0]["requests"] == 5
    assert (usage["cost_usd"] is None) == bool(usage["cost_unknown"])


def test_identical_lines_are_asked_once_when_asked_for(client):
    batch = submit(client, lines(20, temperature=0), extra_body={"dedup": True})

    batch = finished(client, batch.id)

    assert batch.request_counts.completed == 20
    assert batch.usage.model_extra["deduplicated_requests"] == 19
    assert batch.usage.model_extra["models"][0]["requests"] == 1
