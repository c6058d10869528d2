#!/usr/bin/env python3
"""Uploads a huge batch input through /v1/uploads, in parts that go side by side, and starts a batch of it: gateway and worker as
processes on PostgreSQL, a simulator that takes no time. Prints the times, and the most memory that each process took.

    scripts/big_upload.py FOLDER_OF_BINARIES [GIGABYTES] [LINES]
"""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import uuid

from big_batch import MEMORY_BUDGET_MIB, Api, peak_mib
from ports import free_port

PART_BYTES = 64 << 20
AT_ONCE = 4
# Lines that are run before the measuring ends.
LINES_RUN = 2_000
SECRET = "big-upload-secret-of-the-services-0123456789"
MODEL = "tandem-sim"


def line(n, length):
    body = {"model": MODEL, "max_tokens": 4, "messages": [{"role": "user", "content": ""}]}
    request = {"custom_id": f"line-{n:08}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    text = json.dumps(request)
    return text.replace('"content": ""', '"content": "%s"' % ("x" * (length - len(text) - 1))).encode() + b"\n"


def cut(number, total, length):
    """The bytes of a part; all lines are equally long, so that any part can be made by itself."""
    start, end = number * PART_BYTES, min(total, (number + 1) * PART_BYTES)
    first, last = start // length, -(-end // length)
    lines = b"".join(line(n, length) for n in range(first, last))
    return lines[start - first * length : end - first * length]


def send_part(api, upload, content):
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="data"; filename="part"\r\n\r\n'.encode()
    body = b"".join([head, content, f"\r\n--{boundary}--\r\n".encode()])
    kind = f"multipart/form-data; boundary={boundary}"
    return json.load(api.call(f"/v1/uploads/{upload}/parts", body, Content_Type=kind))["id"]


def post(api, path, body):
    return json.load(api.call(path, json.dumps(body).encode(), Content_Type="application/json"))


class Services:
    """The processes, and a database that is gone afterwards."""

    def __init__(self, binaries, folder):
        self.binaries, self.folder, self.processes = binaries, folder, {}
        server = os.environ.get("DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")
        self.server, name = server, f"tandem_big_upload_{uuid.uuid4().hex[:12]}"
        self.sql(f"create database {name}")
        self.drop = f"drop database {name} with (force)"
        ports = {what: free_port() for what in ("simulator", "orchestrator", "gateway")}
        (folder / "models.toml").write_text(
            f'[[model]]\nname = "{MODEL}"\n[[model.deployment]]\nname = "simulator"\n'
            f'url = "http://127.0.0.1:{ports["simulator"]}/v1"\nupstream_model = "{MODEL}"\nengine = "vllm"\n'
        )
        everybody = os.environ | {"TANDEM__ADMIN__BIND": "127.0.0.1:0", "TANDEM__ORCHESTRATOR__SECRET": SECRET}
        self.environment = everybody | {
            "TANDEM__DATA__DIR": str(folder),
            "TANDEM__DATA__DATABASE_URL": f"{server.rsplit('/', 1)[0]}/{name}",
            "TANDEM__ORCHESTRATOR__URL": f"http://127.0.0.1:{ports['orchestrator']}",
        }
        made = subprocess.run(
            [self.binary("tandem"), "keys", "create", "big", "--tenant", "big"],
            cwd=folder, env=self.environment, capture_output=True, text=True, check=True,
        )
        self.key = re.search(r"tdm_\S+", made.stdout).group()
        fast = ["--prefill-tokens-per-sec", "0", "--decode-tokens-per-sec", "0"]
        large = ["--max-model-len", "1000000", "--kv-tokens", "4000000"]
        bind = {what: {"TANDEM__HTTP__BIND": f"127.0.0.1:{port}"} for what, port in ports.items()}
        self.start("simulator", os.environ, "--bind", f"127.0.0.1:{ports['simulator']}", *fast, *large)
        self.start("orchestrator", everybody | bind["orchestrator"])
        self.start("gateway", self.environment | bind["gateway"])
        self.start("worker", self.environment)
        self.api = Api(f"http://127.0.0.1:{ports['gateway']}", self.key)
        self.wait()

    def binary(self, name):
        return str(self.binaries / name)

    def sql(self, text):
        subprocess.run(["psql", self.server, "-qc", text], check=True)

    def start(self, name, environment, *arguments):
        log = open(self.folder / f"{name}.log", "w")
        command = [self.binary(name), *arguments]
        self.processes[name] = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def wait(self):
        for _ in range(600):
            try:
                return self.api.call("/v1/models").read()
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        sys.exit("nothing serves: " + "".join((self.folder / f"{name}.log").read_text()[-2_000:] for name in self.processes))

    def peaks(self):
        return {name: peak_mib(self.processes[name].pid) for name in ("gateway", "worker")}

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait()
        self.sql(self.drop)


def run(services, total, lines):
    length = total // lines
    total = length * lines
    api, began = services.api, time.time()
    new = {"bytes": total, "filename": "input.jsonl", "mime_type": "application/jsonl", "purpose": "batch"}
    upload = post(api, "/v1/uploads", new)["id"]
    send = lambda number: send_part(api, upload, cut(number, total, length))
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        parts = list(pool.map(send, range(-(-total // PART_BYTES))))
    sent = time.time()
    file = post(api, f"/v1/uploads/{upload}/complete", {"part_ids": parts})["file"]
    completed = time.time()
    assert file["bytes"] == total, file
    terms = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = post(api, "/v1/batches", terms)
    while batch["status"] == "validating":
        time.sleep(0.05)
        batch = json.load(api.call(f"/v1/batches/{batch['id']}"))
    running = time.time()
    while batch["status"] == "in_progress" and batch["request_counts"]["completed"] < min(lines, LINES_RUN):
        time.sleep(0.2)
        batch = json.load(api.call(f"/v1/batches/{batch['id']}"))
    assert batch["request_counts"]["total"] == lines and not batch["request_counts"]["failed"], batch
    assert batch["status"] in ("in_progress", "finalizing", "completed"), batch
    peaks = services.peaks()
    print(
        f"{lines} lines, {total / 2**30:.1f} GiB in {len(parts)} parts, {AT_ONCE} at once: sent in {sent - began:.0f} s "
        f"({total / 2**20 / (sent - began):.0f} MiB/s), completed in {completed - sent:.1f} s, "
        f"the batch in progress {running - completed:.1f} s later, {batch['request_counts']['completed']} lines done; "
        + ", ".join(f"peak memory of the {name} {peak:.0f} MiB" for name, peak in peaks.items())
    )
    assert max(peaks.values()) < MEMORY_BUDGET_MIB, f"more memory than the {MEMORY_BUDGET_MIB} MiB allowed"


def main():
    binaries = pathlib.Path(sys.argv[1]).absolute()
    gigabytes = float(sys.argv[2]) if len(sys.argv) > 2 else 8
    total = int(gigabytes * 2**30)
    lines = int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("BIG_UPLOAD_DIR")) as name:
        # The parts, and what is made of them.
        if shutil.disk_usage(name).free < total * 2.2:
            sys.exit(f"{name} has no room for {gigabytes * 2.2:.0f} GiB; name another folder in BIG_UPLOAD_DIR")
        services = Services(binaries, pathlib.Path(name))
        try:
            run(services, total, lines)
        finally:
            services.stop()


if __name__ == "__main__":
    main()
