#!/usr/bin/env python3
"""Starts `tandem up` again and again: prints the time to the first answered API request, and the memory when idle.

    scripts/start_time.py TANDEM_BINARY [STARTS]
"""

import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from ports import free_port

# How long a started process is left alone before its memory is read.
IDLE_SECONDS = 5


def first_answer(process, base, key):
    request = urllib.request.Request(f"{base}/v1/models", headers={"Authorization": f"Bearer {key}"})
    while process.poll() is None:
        try:
            return urllib.request.urlopen(request, timeout=10).read()
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.001)
    sys.exit("tandem did not start")


def resident_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def start_once(binary, folder, key):
    """Milliseconds to the first answer, and MiB when idle."""
    port = free_port()
    environment = os.environ | {
        "TANDEM__HTTP__BIND": f"127.0.0.1:{port}",
        "TANDEM__ADMIN__BIND": "127.0.0.1:0",
        "TANDEM__SIMULATOR__BIND": "127.0.0.1:0",
    }
    began = time.perf_counter()
    process = subprocess.Popen(
        [binary, "up"], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        first_answer(process, f"http://127.0.0.1:{port}", key)
        took = (time.perf_counter() - began) * 1000
        time.sleep(IDLE_SECONDS)
        return took, resident_mib(process.pid)
    finally:
        process.terminate()
        process.wait()


def main():
    binary = os.path.abspath(sys.argv[1])
    starts = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([binary, "migrate", "up"], cwd=folder, check=True, capture_output=True)
        made = subprocess.run(
            [binary, "keys", "create", "start"], cwd=folder, check=True, capture_output=True, text=True
        )
        key = re.search(r"tdm_\S+", made.stdout)[0]
        times, sizes = zip(*(start_once(binary, folder, key) for _ in range(starts)))
    print(
        f"start to first answer: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms; "
        f"idle memory: median {statistics.median(sizes):.0f} MiB, worst {max(sizes):.0f} MiB ({starts} starts)"
    )


if __name__ == "__main__":
    main()
