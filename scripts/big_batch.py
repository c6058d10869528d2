#!/usr/bin/env python3
"""Runs one big batch on a fresh `tandem up` with the simulator: checks every custom_id, prints time and peak memory.

    scripts/big_batch.py TANDEM_BINARY [LINES] [TOTAL_MEGABYTES]
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid

from ports import free_port


# What one process may take, whatever the size of the file.
MEMORY_BUDGET_MIB = 256


def write_input(path, count, total):
    filler = "word " * max(1, (total // count - 220) // 5)
    with open(path, "w") as target:
        for n in range(count):
            body = {"model": "tandem-sim", "max_tokens": 4, "messages": [{"role": "user", "content": f"{n} {filler}"}]}
            line = {"custom_id": f"line-{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            target.write(json.dumps(line) + "\n")


def peak_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024


def start(binary, folder):
    port = free_port()
    environment = os.environ | {
        "TANDEM__HTTP__BIND": f"127.0.0.1:{port}",
        "TANDEM__ADMIN__BIND": "127.0.0.1:0",
        "TANDEM__SIMULATOR__BIND": "127.0.0.1:0",
        "TANDEM__SIMULATOR__DECODE_TOKENS_PER_SEC": "0",
        "TANDEM__SIMULATOR__PREFILL_TOKENS_PER_SEC": "0",
        "TANDEM__SIMULATOR__MAX_MODEL_LEN": "1000000",
        "TANDEM__SIMULATOR__KV_TOKENS": "4000000",
    }
    process = subprocess.Popen(
        [binary, "up"], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    key = None
    for line in process.stdout:
        key = key or (re.search(r"tdm_\S+", line) or [None])[0]
        if line.startswith("  curl"):
            break
    return process, f"http://127.0.0.1:{port}", key


class Api:
    def __init__(self, base, key):
        self.base, self.key = base, key

    def call(self, path, data=None, **headers):
        headers = {"Authorization": f"Bearer {self.key}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        return urllib.request.urlopen(urllib.request.Request(self.base + path, data=data, headers=headers), timeout=3600)

    def upload(self, path):
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="input.jsonl"\r\n\r\n'
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()

        def parts():
            yield head
            with open(path, "rb") as source:
                while chunk := source.read(1 << 20):
                    yield chunk
            yield tail

        length = len(head) + os.path.getsize(path) + len(tail)
        kind = f"multipart/form-data; boundary={boundary}"
        return json.load(self.call("/v1/files", parts(), Content_Type=kind, Content_Length=str(length)))


def main():
    binary = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 50_000
    total = int(sys.argv[3]) << 20 if len(sys.argv) > 3 else 1 << 30
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "input.jsonl")
        write_input(path, count, total)
        process, base, key = start(binary, folder)
        try:
            run(process, Api(base, key), path, count)
        finally:
            process.terminate()
            process.wait()


def run(process, api, path, count):
    began = time.time()
    file = api.upload(path)
    uploaded = time.time()
    create = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = json.load(api.call("/v1/batches", json.dumps(create).encode(), Content_Type="application/json"))
    while batch["status"] not in ("completed", "failed", "expired", "cancelled"):
        time.sleep(0.2)
        batch = json.load(api.call(f"/v1/batches/{batch['id']}"))
    ended = time.time()
    assert batch["status"] == "completed", batch
    ids = [json.loads(line)["custom_id"] for line in api.call(f"/v1/files/{batch['output_file_id']}/content")]
    assert ids == [f"line-{n}" for n in range(count)], "the output is not the input, in order, each line once"
    peak = peak_mib(process.pid)
    print(
        f"{count} lines, {file['bytes'] / 2**20:.0f} MiB: uploaded and judged in {uploaded - began:.1f} s, "
        f"run in {ended - uploaded:.1f} s ({count / (ended - uploaded):.0f} lines/s), "
        f"peak memory of the process {peak:.0f} MiB"
    )
    assert peak < MEMORY_BUDGET_MIB, f"more memory than the {MEMORY_BUDGET_MIB} MiB a batch may take"


if __name__ == "__main__":
    main()
