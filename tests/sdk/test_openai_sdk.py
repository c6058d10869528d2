"""What a new user does first, with the OpenAI SDK."""

import io
import json
import subprocess
import time

import openai
import pytest

MODEL = "tandem-sim"
HELLO = [{"role": "user", "content": "Hello"}]


def finished(client, batch_id):
    """Polls until the batch has ended; the limit only stops a hung run."""
    for _ in range(600):
        batch = client.batches.retrieve(batch_id)
        if batch.status in ("completed", "failed", "expired", "cancelled"):
            return batch
        time.sleep(0.1)
    raise AssertionError(f"{batch_id} is still {batch.status}")


def lines(count, **body):
    request = {"model": MODEL, "messages": HELLO, "max_tokens": 4} | body
    return "".join(
        json.dumps({"custom_id": f"line-{n}", "method": "POST", "url": "/v1/chat/completions", "body": request}) + "\n"
        for n in range(count)
    ).encode()


def submit(client, content, **options):
    file = client.files.create(file=("input.jsonl", io.BytesIO(content)), purpose="batch")
    arguments = {"endpoint": "/v1/chat/completions", "completion_window": "24h"} | options
    return client.batches.create(input_file_id=file.id, **arguments)


def test_the_banner_says_that_it_is_a_simulator(server):
    assert "simulator" in server["banner"].lower()


def test_the_curl_line_works_as_printed(server):
    line = next(line for line in server["banner"].splitlines() if line.startswith("  curl"))

    answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout

    events, comment = answer.rstrip().rsplit("\n\n", 1)
    assert events.endswith("data: [DONE]")
    assert comment.startswith(": tandem model=")


def test_models_are_listed(client):
    assert MODEL in [model.id for model in client.models.list()]


def test_a_chat_completion_streams(client):
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=8, stream=True))

    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text
    assert chunks[-1].choices[0].finish_reason


def test_a_stream_and_a_whole_answer_say_the_same(client):
    whole = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=8)
    chunks = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=8, stream=True)

    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert whole.usage.completion_tokens == 8


def test_completions_and_embeddings_answer(client):
    assert client.completions.create(model=MODEL, prompt="Once", max_tokens=3).choices[0].text
    assert client.embeddings.create(model=MODEL, input="words", encoding_format="float").data[0].embedding


def test_a_wrong_key_is_refused(server):
    stranger = openai.OpenAI(base_url=server["url"] + "/v1", api_key="tdm_wrong", max_retries=0)

    with pytest.raises(openai.AuthenticationError) as refused:
        stranger.models.list()

    assert refused.value.code == "invalid_api_key"


def test_an_unknown_model_is_named(client):
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="nope", messages=HELLO)

    assert refused.value.code == "model_not_found"


def test_a_batch_completes_in_input_order(client):
    batch = finished(client, submit(client, lines(100)).id)

    output = client.files.content(batch.output_file_id).text.splitlines()
    assert batch.status == "completed"
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (100, 100, 0)
    assert batch.error_file_id is None
    assert [json.loads(line)["custom_id"] for line in output] == [f"line-{n}" for n in range(100)]
    assert all(json.loads(line)["response"]["status_code"] == 200 for line in output)


def test_a_bad_input_file_fails_with_line_numbers(client):
    content = lines(2) + b"not json\n" + lines(1)

    batch = finished(client, submit(client, content).id)

    assert batch.status == "failed"
    assert ("invalid_json_line", 3) in [(error.code, error.line) for error in batch.errors.data]
    assert ("duplicate_custom_id", 4) in [(error.code, error.line) for error in batch.errors.data]
    assert batch.output_file_id is None


def test_lines_that_the_model_refuses_go_to_the_error_file(client):
    batch = finished(client, submit(client, lines(3, temperature=99)).id)

    errors = [json.loads(line) for line in client.files.content(batch.error_file_id).text.splitlines()]
    assert batch.status == "completed"
    assert batch.output_file_id is None
    assert [error["response"]["status_code"] for error in errors] == [400, 400, 400]


def test_a_cancelled_batch_keeps_one_record_for_each_line(client):
    batch = submit(client, lines(2000, max_tokens=200))

    client.batches.cancel(batch.id)
    batch = finished(client, batch.id)

    assert batch.status == "cancelled"
    records = []
    for file in (batch.output_file_id, batch.error_file_id):
        if file:
            records += [json.loads(line)["custom_id"] for line in client.files.content(file).text.splitlines()]
    assert len(records) == len(set(records))
    assert len(records) in (0, 2000)


def test_files_are_listed_read_and_deleted(client):
    content = lines(1)
    file = client.files.create(file=("input.jsonl", io.BytesIO(content)), purpose="batch")

    assert client.files.content(file.id).read() == content
    assert file.id in [listed.id for listed in client.files.list(purpose="batch")]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
