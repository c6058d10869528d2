"""Files that come in parts, with the OpenAI SDKs for Python and Node."""

import hashlib
import json
import os
import subprocess

import openai
import pytest
from conftest import ROOT
from test_openai_sdk import finished, lines


def test_a_file_in_chunks_becomes_a_batch(client, tmp_path):
    path = tmp_path / "input.jsonl"
    path.write_bytes(lines(50))

    upload = client.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="batch", part_size=1_000
    )

    assert upload.status == "completed"
    assert upload.file.bytes == path.stat().st_size
    assert client.files.content(upload.file.id).content == path.read_bytes()
    batch = client.batches.create(
        input_file_id=upload.file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    batch = finished(client, batch.id)
    assert (batch.status, batch.request_counts.completed) == ("completed", 50)


def test_bytes_in_chunks_with_a_checksum(client):
    content = lines(10)

    upload = client.uploads.upload_file_chunked(
        file=content,
        filename="input.jsonl",
        bytes=len(content),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=700,
        md5=hashlib.md5(content).hexdigest(),
    )

    assert (upload.status, upload.object, upload.file.purpose) == ("completed", "upload", "batch")


def test_a_wrong_checksum_is_told_and_the_upload_stays(client):
    upload = client.uploads.create(bytes=1, filename="a.txt", mime_type="text/plain", purpose="user_data")
    part = client.uploads.parts.create(upload.id, data=b"a")
    assert (part.object, part.upload_id) == ("upload.part", upload.id)

    with pytest.raises(openai.BadRequestError) as refused:
        client.uploads.complete(upload.id, part_ids=[part.id], md5="0" * 32)

    assert refused.value.code == "md5_mismatch"
    assert client.uploads.complete(upload.id, part_ids=[part.id]).status == "completed"


def test_an_upload_can_be_given_up(client):
    upload = client.uploads.create(bytes=1, filename="a.txt", mime_type="text/plain", purpose="user_data")

    assert client.uploads.cancel(upload.id).status == "cancelled"

    with pytest.raises(openai.ConflictError):
        client.uploads.parts.create(upload.id, data=b"a")


def test_the_node_sdk_uploads_in_parts(server):
    program = ROOT / "tests" / "node" / "uploads.mjs"
    environment = {"PATH": os.environ["PATH"], "BASE_URL": server["url"] + "/v1", "API_KEY": server["key"]}

    told = subprocess.run(["node", program], env=environment, capture_output=True, text=True, timeout=120)

    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == {"status": "completed", "content": True, "batch": "completed"}
