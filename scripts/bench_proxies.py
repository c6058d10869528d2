#!/usr/bin/env python3
"""Measures what stands between a caller and a model server, each contender alone on one core: nginx, Tandem's way without
keys, limits and ledger, and its gateway with all of them.

    scripts/bench_proxies.py FOLDER_OF_RELEASE_BINARIES [ROUNDS]

The callers and the model server share another core. Needs nginx, wrk, and PostgreSQL named by DATABASE_URL.
"""

import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from ports import free_port

CONTENDER_CORE, OTHER_CORE = 1, 0
# Where those of the kernel's workers run that are bound to no core.
KERNEL_WORKERS = pathlib.Path("/sys/devices/virtual/workqueue/cpumask")
# A real-time priority: nothing keeps the callers on their core waiting, unless it has the same.
CALLER_PRIORITY = 2
# A core of a shared machine runs at half its pace for some tenths of a second now and then. Contenders that take turns at the core meet the
# same hours, and the shorter the turns, the fewer of them meet such a time: a 99th percentile tells of little else in those that do.
TURNS, TURN_SECONDS = 12, 1
HALF_LOAD_TURNS, HALF_LOAD_SECONDS = 24, 0.5
STREAM_TURNS, STREAM_ROUNDS = 6, 2
CONNECTIONS = 64
STREAMS, TOKENS, GAP_MS = 200, 100, 5
IDLE_STREAMS = 10_000
# nginx closes connections when a sixteenth of its descriptors is left; a stream takes two.
STREAMS_PER_DESCRIPTOR = 0.46
READY_SECONDS = 20
CHAT = "/v1/chat/completions"

ANSWER = json.dumps(
    {
        "id": "chatcmpl-9a1a0be3",
        "object": "chat.completion",
        "created": 1784966400,
        "model": "tandem-sim",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "A"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 14, "total_tokens": 15, "completion_tokens": 1},
    }
)
REQUEST = json.dumps(
    {
        "model": "tandem-sim",
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "Say something short about the sea."}],
    }
)
NGINX = """
daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log warn;
events {{ worker_connections {connections}; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_body_buffer_size 64k;
    client_body_temp_path {folder}/{name}.body; proxy_temp_path {folder}/{name}.proxy;
    fastcgi_temp_path {folder}/{name}.fastcgi; uwsgi_temp_path {folder}/{name}.uwsgi; scgi_temp_path {folder}/{name}.scgi;
    {http}
}}
"""
MODEL_SERVER = """
    default_type application/json;
    server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 '{answer}'; }} }}
"""
PROXY = """
    upstream model {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_buffering off; proxy_read_timeout 600s;
        }}
    }}
"""
CATALOG = """
[[model]]
name = "tandem-sim"
[[model.deployment]]
name = "only"
engine = "vllm"
url = "http://127.0.0.1:{upstream}/v1"
upstream_model = "tandem-sim"
input_usd_per_million = 1.0
output_usd_per_million = 10.0
"""
# Far above what is asked, so that each is checked and charged and none refuses.
LIMITS = {
    "requests_per_minute": 1_000_000_000,
    "tokens_per_minute": 1_000_000_000_000,
    "concurrent_requests": 1_000_000,
    "usd_per_day": "1000000",
    "usd_per_month": "1000000",
    "usd_total": "1000000",
}
WRK = """
wrk.method = "POST"
wrk.path = "{path}"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {key}"
wrk.body = [[{body}]]
"""


@contextlib.contextmanager
def process(core, *command, **options):
    """A process on one core, ended with the block."""
    started = subprocess.Popen(on_core(core, command), **options)
    try:
        yield started
    finally:
        started.terminate()
        started.wait()


@contextlib.contextmanager
def cores_awake():
    """No core halts, where that is allowed. A virtual machine bills the wake-up of a halted core to the one who wakes it: a
    contender would pay for how long the callers slept. The kernel takes the request back when the file is closed."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(open("/dev/cpu_dma_latency", "wb", buffering=0)).write(struct.pack("i", 0))
        except OSError as error:
            print(f"cores may halt between requests, which costs contenders time: {error}", file=sys.stderr)
        yield


@contextlib.contextmanager
def core_to_itself():
    """Nobody else runs on the contender's core, as far as that may be said: not the database, which is not what is measured, nor
    whoever takes a core for some milliseconds now and then, such as the kernel when it writes to a disk. New processes inherit that."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            cores = KERNEL_WORKERS.read_text()
            KERNEL_WORKERS.write_text(without_contender(cores))
            held.callback(KERNEL_WORKERS.write_text, cores)
        for task in pathlib.Path("/proc").glob("[0-9]*/task/[0-9]*"):
            move(int(task.name), held)
        yield


def move(task, held):
    """Keeps a task off the contender's core until `held` ends."""
    # Some have ended meanwhile, some are bound to their core, some belong to others.
    with contextlib.suppress(OSError):
        cores = os.sched_getaffinity(task)
        if elsewhere := cores - {CONTENDER_CORE}:
            os.sched_setaffinity(task, elsewhere)
            held.callback(move_back, task, cores)


def move_back(task, cores):
    with contextlib.suppress(OSError):
        os.sched_setaffinity(task, cores)


def without_contender(cores):
    """The kernel's words for cores: hexadecimal digits in groups of 32 bits, the first cores in the last group."""
    before, comma, last = cores.strip().rpartition(",")
    return f"{before}{comma}{int(last, 16) & ~(1 << CONTENDER_CORE):x}"


class Bench:
    def __init__(self, binaries, folder):
        self.binaries, self.folder = pathlib.Path(binaries).resolve(), pathlib.Path(folder)
        self.database = self.fresh_database()
        self.environment = os.environ | {
            "TANDEM__TELEMETRY__LOG": "warn",
            "TANDEM__ADMIN__BIND": "127.0.0.1:0",
            "TANDEM__MODELS__FILE": str(self.folder / "models.toml"),
        }
        self.data = {"TANDEM__DATA__DIR": str(self.folder), "TANDEM__DATA__DATABASE_URL": self.database}
        self.tandem("migrate", "up")
        self.key, self.admin = self.make_key("bench"), self.make_key("operator", "--admin")

    def fresh_database(self):
        server, name = os.environ["DATABASE_URL"], f"bench_{os.getpid()}"
        # Its disk is on this machine and not what is measured: a flush stops the callers on its core for milliseconds.
        relaxed = f"alter database {name} set synchronous_commit = off"
        for statement in (f"drop database if exists {name}", f"create database {name}", relaxed):
            subprocess.run(["psql", server, "-qc", statement], check=True, stderr=subprocess.DEVNULL)
        for address in (*sockets(server), server.rsplit("/", 1)[0]):
            # On the same machine nobody listens in.
            url = f"{address}/{name}?sslmode=disable"
            if subprocess.run(["psql", url, "-qc", "select"], capture_output=True).returncode == 0:
                return url
        sys.exit(f"database {name} can't be reached")

    def make_database_urgent(self):
        """Those who write for the contenders, as urgent as the callers, where that is allowed and if they run on this machine. Whoever wakes
        a caller while one of them runs would interrupt its core, which costs the one who does it microseconds on a virtual machine,
        and the ledger would seem dear. The server's own errands, such as writing to its disk, can wait."""
        query = "select pid from pg_stat_activity where datname = current_database()"
        for pid in map(int, self.psql(query).split()):
            with contextlib.suppress(OSError):
                if "postgres" in pathlib.Path(f"/proc/{pid}/cmdline").read_text():
                    os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(CALLER_PRIORITY))

    def psql(self, query):
        return subprocess.run(["psql", self.database, "-qAtc", query], check=True, capture_output=True, text=True).stdout

    def drop_database(self):
        name = self.database.rsplit("/", 1)[1].split("?")[0]
        statement = f"drop database {name} with (force)"
        subprocess.run(["psql", os.environ["DATABASE_URL"], "-qc", statement], check=True)

    def tandem(self, *arguments):
        command = [self.binaries / "tandem", *arguments]
        environment = os.environ | self.data
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def make_key(self, *arguments):
        return re.search(r"tdm_\w+", self.tandem("keys", "create", *arguments))[0]

    def ledger_records(self):
        return int(self.psql("select count(*) from usage_records"))

    def settle(self):
        """Waits until nothing more is written."""
        records = -1
        while records != (records := self.ledger_records()):
            time.sleep(0.5)

    @contextlib.contextmanager
    def nginx(self, core, name, http):
        path = self.folder / f"{name}.conf"
        _, connections = resource.getrlimit(resource.RLIMIT_NOFILE)
        path.write_text(NGINX.format(folder=self.folder, name=name, http=http, connections=min(connections, 65_536)))
        with process(core, "nginx", "-c", path, "-e", self.folder / f"{name}.log") as master:
            workers = pathlib.Path(f"/proc/{master.pid}/task/{master.pid}/children")
            until(lambda: workers.read_text().split(), "nginx has no worker")
            yield int(workers.read_text().split()[0])

    @contextlib.contextmanager
    def model_server(self):
        """Answers at once with the same few bytes, as cheaply as can be."""
        port = free_port()
        with self.nginx(OTHER_CORE, "model", MODEL_SERVER.format(port=port, answer=ANSWER)):
            yield port

    @contextlib.contextmanager
    def streaming_server(self, tokens, gap_ms):
        """Answers with streams of so many tokens, one each `gap_ms`."""
        port = free_port()
        arguments = ["serve", "--bind", f"127.0.0.1:{port}", "--tokens", tokens, "--gap-ms", gap_ms]
        with process(OTHER_CORE, self.binaries / "load", *arguments):
            until(lambda: listens(port), "the model server does not serve")
            yield port

    @contextlib.contextmanager
    def contender(self, name, upstream):
        """Its process id and port, once it serves."""
        (self.folder / "models.toml").write_text(CATALOG.format(upstream=upstream))
        port = free_port()
        with getattr(self, name)(port, upstream) as pid:
            url = f"http://127.0.0.1:{port}"
            until(lambda: serves(url), f"{name} does not serve")
            if name == "governed":
                self.limit(url)
            yield pid, url

    def nginx_proxy(self, port, upstream):
        return self.nginx(CONTENDER_CORE, "proxy", PROXY.format(port=port, upstream=upstream))

    @contextlib.contextmanager
    def ungoverned(self, port, _):
        environment = self.environment | {"TANDEM__HTTP__BIND": f"127.0.0.1:{port}"}
        with process(CONTENDER_CORE, self.binaries / "ungoverned", env=environment) as started:
            yield started.pid

    @contextlib.contextmanager
    def governed(self, port, _):
        environment = self.environment | self.data | {"TANDEM__HTTP__BIND": f"127.0.0.1:{port}"}
        environment["TANDEM__GATEWAY__OVERLOAD__MAX_RUNNING"] = str(2 * IDLE_STREAMS)
        with process(CONTENDER_CORE, self.binaries / "gateway", env=environment) as started:
            yield started.pid

    def ask(self, url):
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        urllib.request.urlopen(urllib.request.Request(url + CHAT, REQUEST.encode(), headers)).read()

    def limit(self, url):
        """Every kind of limit on the tenant and on its key, unless they are there."""

        def call(path, body=None):
            headers = {"Authorization": f"Bearer {self.admin}", "Content-Type": "application/json"}
            data = json.dumps(body).encode() if body else None
            return json.load(urllib.request.urlopen(urllib.request.Request(f"{url}/admin/v1/{path}", data, headers)))

        if call("limits")["data"]:
            return
        tenant = call("tenants")["data"][0]["id"]
        key = next(key["id"] for key in call("keys")["data"] if key["name"] == "bench")
        for subject_kind, subject in (("tenant", tenant), ("key", key)):
            for kind, amount in LIMITS.items():
                limit = {"tenant_id": tenant, "subject_kind": subject_kind, "subject": subject}
                call("limits", limit | {"kind": kind, "amount": amount})
        # They are read within this.
        time.sleep(3)

    def wrk(self, url, seconds):
        """Requests answered, and requests a second."""
        script = self.folder / "chat.lua"
        script.write_text(WRK.format(path=CHAT, key=self.key, body=REQUEST))
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, url]
        said = subprocess.run(on_core(OTHER_CORE, command), check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in said or "Socket errors" in said:
            sys.exit(f"not every request was answered:\n{said}")
        requests = int(re.search(r"(\d+) requests in", said)[1])
        return requests, float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])

    def load(self, *arguments):
        command = on_core(OTHER_CORE, [self.binaries / "load", *arguments, "--key", self.key])
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def sockets(server):
    """Ways to the server that are not TCP, if it runs on this machine. Over TCP the last bytes of each of the ledger's transactions wait for
    an acknowledgement, up to 40 ms (sqlx 0.9.0, issue 4335), so that there are fewer and larger ones."""
    query = ["psql", server, "-qAtc", "show unix_socket_directories", "-c", "show port"]
    told = subprocess.run(query, capture_output=True, text=True)
    if told.returncode:
        # It tells administrators only.
        return []
    folders, port = told.stdout.splitlines()
    user = urllib.parse.urlsplit(server).username or "postgres"
    return [
        f"postgres://{user}@{urllib.parse.quote(folder, safe='')}:{port}"
        for folder in map(str.strip, folders.split(","))
        if (pathlib.Path(folder) / f".s.PGSQL.{port}").exists()
    ]


def listens(port):
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def serves(url):
    """Whether somebody answers there, whatever the answer is."""
    try:
        urllib.request.urlopen(url + "/health", timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True


def on_core(core, command):
    """What isn't measured has the right of way on its core, where that is allowed."""
    first = ["chrt", "-f", str(CALLER_PRIORITY)] if core == OTHER_CORE and os.geteuid() == 0 else []
    return [*first, "taskset", "-c", str(core), *map(str, command)]


def until(condition, problem):
    end = time.monotonic() + READY_SECONDS
    while not condition():
        if time.monotonic() > end:
            sys.exit(problem)
        time.sleep(0.01)


def cpu_seconds(pid):
    """User and system time of a process, all threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024


CONTENDERS = ["nginx_proxy", "ungoverned", "governed"]


def whole_answers(bench, turns):
    """Requests a second and CPU of each request, and how those of each turn compare. One has the core while the others wait."""
    with contextlib.ExitStack() as held:
        upstream = held.enter_context(bench.model_server())
        contenders = {name: held.enter_context(bench.contender(name, upstream)) for name in CONTENDERS}
        for _, url in contenders.values():
            bench.wrk(url, 1)
        bench.make_database_urgent()
        bench.settle()
        return [{name: turn(bench, name, *contenders[name]) for name in CONTENDERS} for _ in range(turns)]


def turn(bench, name, pid, url):
    """One contender's turn. What it still has to write belongs to it: the next one finds it idle."""
    before, known = cpu_seconds(pid), bench.ledger_records()
    requests, per_second = bench.wrk(url, TURN_SECONDS)
    bench.settle()
    if name == "governed" and bench.ledger_records() - known < requests:
        sys.exit("the ledger lacks requests")
    return {"per_second": per_second, "us": (cpu_seconds(pid) - before) * 1e6 / requests}


def half_load(bench, rate, turns):
    """Latency that each contender adds for the same callers at half of what the governed one can do, in turns."""
    pace = ["paced", "--callers", CONNECTIONS, "--rate", rate, "--seconds", HALF_LOAD_SECONDS, "--url"]
    with contextlib.ExitStack() as held:
        upstream = held.enter_context(bench.model_server())
        urls = {name: held.enter_context(bench.contender(name, upstream))[1] for name in CONTENDERS}
        for url in urls.values():
            bench.wrk(url, 1)
        bench.make_database_urgent()

        def turn():
            # What the turn before has left to be written is no part of a half load.
            bench.settle()
            direct = bench.load(*pace, f"http://127.0.0.1:{upstream}{CHAT}")["latency"]
            through = {name: bench.load(*pace, url + CHAT)["latency"] for name, url in urls.items()}
            return {name: {at: took - direct[at] for at, took in leg.items()} for name, leg in through.items()}

        return medians([turn() for _ in range(turns)])


def streams(bench, turns):
    """CPU of each token, and what is added to the time to the first, in turns."""
    arguments = ["streams", "--count", STREAMS, "--tokens", TOKENS, "--rounds", STREAM_ROUNDS, "--spread-ms", GAP_MS * TOKENS, "--url"]
    with contextlib.ExitStack() as held:
        upstream = held.enter_context(bench.streaming_server(TOKENS, GAP_MS))
        contenders = {name: held.enter_context(bench.contender(name, upstream)) for name in CONTENDERS}
        for _, url in contenders.values():
            bench.ask(url)

        def turn():
            direct = bench.load(*arguments, f"http://127.0.0.1:{upstream}{CHAT}")
            legs = {}
            for name, (pid, url) in contenders.items():
                before = cpu_seconds(pid)
                through = bench.load(*arguments, url + CHAT)
                tokens = through["streams"] * TOKENS
                added = {at: through["first_token"][at] - direct["first_token"][at] for at in ("p50", "p99")}
                us = (cpu_seconds(pid) - before) * 1e6 / tokens
                legs[name] = added | {"us": us, "per_second": tokens / through["seconds"]}
            return legs

        return [turn() for _ in range(turns)]


def idle_streams(bench, count):
    """Resident memory with so many streams open, and before."""
    legs = {}
    with bench.streaming_server(2, 600_000) as upstream:
        for name in CONTENDERS:
            with bench.contender(name, upstream) as (pid, url):
                before = resident_mib(pid)
                command = [bench.binaries / "load", "idle", "--count", count, "--key", bench.key, "--url", url + CHAT]
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
                with process(OTHER_CORE, *command, **pipes) as callers:
                    opened = json.loads(callers.stdout.readline() or "{}")
                    if opened.get("open") != count:
                        sys.exit(f"{name}: {opened} of {count} streams are open")
                    # A comment goes out to each of them meanwhile.
                    time.sleep(12)
                    legs[name] = {"before": before, "open": resident_mib(pid)}
                    callers.stdin.close()
                    if json.loads(callers.stdout.readline())["ended"]:
                        sys.exit(f"{name}: streams ended by themselves")
    return legs


def medians(rounds):
    """The median of each figure of each contender."""
    return {
        name: {figure: statistics.median(legs[name][figure] for legs in rounds) for figure in rounds[0][name]}
        for name in CONTENDERS
    }


def report(title, legs, figures):
    print(f"\n{title}")
    for name in CONTENDERS:
        told = "   ".join(f"{label} {legs[name][figure]:,.{digits}f}" for figure, label, digits in figures)
        print(f"  {name:12} {told}")


def ratio(legs, figure, these, those):
    return legs[these][figure] / legs[those][figure]


def ratio_of_turns(turns, figure, these, those):
    """The median of the turns' own ratios: in each of them the machine had one pace."""
    return statistics.median(ratio(legs, figure, these, those) for legs in turns)


def main():
    for tool in ("nginx", "wrk", "psql", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: apt-get install nginx-light wrk postgresql-client util-linux")
    if os.cpu_count() < 2:
        sys.exit("two cores are needed: one for the contender, one for everything else")
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        bench = Bench(sys.argv[1], folder)
        try:
            with cores_awake(), core_to_itself():
                run(bench, rounds, min(IDLE_STREAMS, int(descriptors * STREAMS_PER_DESCRIPTOR)))
        finally:
            bench.drop_database()


def run(bench, rounds, idle):
    print(f"each alone on core {CONTENDER_CORE}; callers and model server on core {OTHER_CORE}; median of {rounds} rounds")
    turns = whole_answers(bench, rounds * TURNS)
    whole = medians(turns)
    report(
        f"whole answers, {CONNECTIONS} at once, {len(turns)} turns of {TURN_SECONDS} s each",
        whole,
        [("per_second", "requests/s", 0), ("us", "CPU us/request", 1)],
    )
    for figure, unit in (("per_second", "requests/s"), ("us", "CPU")):
        share = ratio_of_turns(turns, figure, "ungoverned", "nginx_proxy")
        governed = ratio_of_turns(turns, figure, "governed", "ungoverned")
        print(f"  {unit}: ungoverned {share:.2f} of nginx's, governed {governed:.2f} of ungoverned's")

    rate = whole["governed"]["per_second"] / 2
    turns = rounds * HALF_LOAD_TURNS
    report(
        f"added latency at {rate:,.0f} requests/s, half of the governed one's, {turns} turns of {HALF_LOAD_SECONDS} s each",
        half_load(bench, rate, turns),
        [("p50", "p50 us", 0), ("p99_in_window", "p99 of 50 ms us", 0), ("p99", "p99 us", 0)],
    )

    streamed = streams(bench, rounds * STREAM_TURNS)
    report(
        f"{STREAMS} streams of {TOKENS} tokens, one each {GAP_MS} ms, {len(streamed)} turns",
        medians(streamed),
        [("us", "CPU us/token", 2), ("per_second", "tokens/s", 0), ("p50", "added TTFT p50 us", 0), ("p99", "p99 us", 0)],
    )
    print(f"  governed needs {ratio_of_turns(streamed, 'us', 'governed', 'nginx_proxy'):.2f} of nginx's CPU a token")

    report(f"{idle:,} idle streams", idle_streams(bench, idle), [("before", "MiB before", 0), ("open", "MiB open", 0)])


if __name__ == "__main__":
    main()
