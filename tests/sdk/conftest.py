"""One `tandem up` on a fresh data folder for the whole session, as a new user starts it."""

import os
import pathlib
import re
import subprocess
import sys

import openai
import providers
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "scripts"))
BINARY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "tandem"

from ports import free_port  # noqa: E402 (its folder is known by now)


def start(folder, catalog=None, **variables):
    """A running `tandem up`, and the key that it has made."""
    if catalog:
        (folder / "models.toml").write_text(catalog)
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PROVIDER_KEY": "provider-key",
        "TANDEM__HTTP__BIND": f"127.0.0.1:{port}",
        "TANDEM__ADMIN__BIND": "127.0.0.1:0",
        "TANDEM__SIMULATOR__BIND": "127.0.0.1:0",
    } | variables
    process = subprocess.Popen(
        [BINARY, "up"], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=open(folder / "log", "w")
    )
    banner = []
    for line in process.stdout:
        banner.append(line)
        if line.startswith("  curl"):
            break
    text = "".join(banner)
    key = re.search(r"tdm_\S+", text)
    assert key, text + (folder / "log").read_text()
    return process, {"url": f"http://127.0.0.1:{port}", "key": key.group(), "banner": text}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    if url := os.environ.get("TANDEM_URL"):
        # One that runs already, which has no banner.
        yield {"url": url, "key": os.environ["TANDEM_API_KEY"]}
        return
    process, site = start(tmp_path_factory.mktemp("tandem"))
    yield site
    process.terminate()
    assert process.wait(timeout=20) == 0


@pytest.fixture(scope="session")
def providers_site(tmp_path_factory):
    """Tandem in front of every provider."""
    provider = providers.start()
    metadata = f"127.0.0.1:{provider.server_port}"
    catalog = providers.catalog(provider.server_port)
    process, site = start(tmp_path_factory.mktemp("providers"), catalog, GCE_METADATA_HOST=metadata)
    yield site | {"provider": provider}
    process.terminate()
    assert process.wait(timeout=20) == 0
    provider.shutdown()


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=server["url"] + "/v1", api_key=server["key"], max_retries=0)
