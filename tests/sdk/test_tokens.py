"""Tokens of a real OpenID Connect provider, and whatever else may pass for one."""

import base64
import contextlib
import hashlib
import hmac
import json
import pathlib
import socket
import sqlite3
import subprocess
import time
import uuid

import httpx
import pytest
from conftest import BINARY, free_port, start

OIDC = pathlib.Path(__file__).resolve().parents[1] / "oidc"
ALGORITHMS = ["RS256", "ES256", "EdDSA"]
INTERVAL_SECS = 2

SETTINGS = """
[gateway.identity]
jwks_min_interval_secs = {interval}

[[gateway.identity.issuers]]
name = "test"
url = "{issuer}"
audiences = ["tandem"]
leeway_secs = 0

[[gateway.identity.issuers.rules]]
match = [{{ claim = "/access/groups", equals = "inference" }}]
tenant_claim = "org"
scopes = "inference files"
models = ["tandem-sim"]
"""


class Provider:
    """The provider and its back door."""

    def __init__(self, url):
        self.url = url

    def back(self, path, **body):
        answer = httpx.post(f"{self.url}/back/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def token(self, alg, client="ci"):
        form = {"grant_type": "client_credentials", "resource": f"urn:test:{alg}"}
        answer = httpx.post(f"{self.url}/token", data=form, auth=(client, "secret"))
        return answer.raise_for_status().json()["access_token"]

    def claims(self, **changes):
        """Claims that are fine, but for the changes; `None` takes one away."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": "tandem", "sub": "ci", "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())}
        claims |= {"org": "default", "access": {"groups": ["inference"]}} | changes
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, alg="RS256", header=None, stranger=False, **changes):
        claims = self.claims(**changes)
        return self.back("sign", alg=alg, header=header or {}, claims=claims, stranger=stranger)["token"]


class Site:
    """Tandem, to be asked with a credential."""

    def __init__(self, folder, url, key):
        self.folder, self.url, self.key = folder, url, key
        self.http = httpx.Client()

    def get(self, credential, path="/v1/models"):
        return self.http.get(self.url + path, headers={"authorization": f"Bearer {credential}"})

    def refuses(self, credential, code="invalid_token", status=401):
        answer = self.get(credential)
        told = answer.json().get("error", {})
        return (answer.status_code, told.get("code")) == (status, code) or answer.text


@pytest.fixture(scope="module")
def provider():
    process = subprocess.Popen(["node", OIDC / "server.mjs"], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    yield Provider(process.stdout.readline().strip())
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture(scope="module")
def site(tmp_path_factory, provider):
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "tandem.toml").write_text(SETTINGS.format(issuer=provider.url, interval=INTERVAL_SECS))
    process, started = start(folder, TANDEM__SIMULATOR__BIND="127.0.0.1:0")
    yield Site(folder, started["url"], started["key"])
    process.terminate()
    assert process.wait(timeout=20) == 0


def eventually(condition, limit=10):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_of_the_provider_does_what_its_rule_grants(provider, site, alg):
    token = provider.token(alg)

    listed = site.get(token)
    body = {"model": "tandem-sim", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
    chat = site.http.post(site.url + "/v1/chat/completions", json=body, headers={"x-api-key": token})

    assert [model["id"] for model in listed.json()["data"]] == ["tandem-sim"], listed.text
    assert chat.status_code == 200, chat.text
    refused = site.get(token, "/v1/batches")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_back_door_signs_tokens_that_work_so_that_refusals_have_one_reason(provider, site, alg):
    assert site.get(provider.sign(alg)).status_code == 200


def test_a_token_that_no_rule_is_for_is_known_and_may_do_nothing(provider, site):
    assert site.refuses(provider.token("RS256", "nobody"), "no_matching_rule", 403) is True
    assert site.refuses(provider.sign(org="nowhere"), "no_such_tenant", 403) is True
    assert site.refuses(provider.sign(org={"name": "default"}), "no_matching_rule", 403) is True


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "other"},
        {"aud": ["other", "tandem2"]},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": "http://127.0.0.1:1/"},
        {"iss": None},
        {"exp": 1},
        {"exp": None},
        {"nbf": 33_000_000_000},
        {"nbf": "soon"},
        {"sub": None},
    ],
    ids=str,
)
def test_a_claim_that_does_not_hold_is_refused(provider, site, changes):
    assert site.refuses(provider.sign(**changes)) is True


def encode(part):
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_a_token_without_a_signature_is_refused(provider, site):
    good = provider.sign().split(".")
    for alg in ["none", "None", "NONE", "nOnE", ""]:
        head = encode({"typ": "JWT", "alg": alg, "kid": provider.back("pem")["kid"]})
        for signature in ["", good[2]]:
            assert site.refuses(f"{head}.{encode(provider.claims())}.{signature}") is True
    assert site.refuses(f"{good[0]}.{good[1]}.") is True


def test_the_public_key_is_no_shared_secret(provider, site):
    key = provider.back("pem")
    for alg, digest in [("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)]:
        signed = f"{encode({'typ': 'JWT', 'alg': alg, 'kid': key['kid']})}.{encode(provider.claims())}"
        for secret in [key["pem"], key["pem"].strip(), ""]:
            signature = hmac.new(secret.encode(), signed.encode(), digest).digest()
            assert site.refuses(f"{signed}.{encode(signature)}") is True


def test_an_algorithm_that_is_not_of_the_key_is_refused(provider, site):
    kid = provider.back("pem")["kid"]
    for alg in ["ES256", "EdDSA"]:
        assert site.refuses(provider.sign(alg, header={"kid": kid})) is True


def test_a_changed_token_is_refused(provider, site):
    head, _, signature = provider.sign().split(".")
    assert site.refuses(f"{head}.{encode(provider.claims(sub='root'))}.{signature}") is True


def test_the_header_of_a_token_brings_no_keys(provider, site):
    own = provider.back("jwk", alg="RS256")["jwk"]
    kid = provider.back("pem")["kid"]
    readings = provider.back("readings")["readings"]
    for header in [
        {"jwk": own},
        {"jku": f"{provider.url}/jwks"},
        {"x5u": f"{provider.url}/jwks"},
        {"x5c": ["MIIB"]},
    ]:
        assert site.refuses(provider.sign(header={"kid": kid} | header, stranger=True)) is True
    assert provider.back("readings")["readings"] == readings


def test_what_a_header_demands_and_nobody_understands_is_refused(provider, site):
    assert site.refuses(provider.sign(header={"crit": ["exp"], "exp": 1})) is True
    assert site.refuses(provider.sign(header={"typ": "logout+jwt"})) is True


@pytest.mark.parametrize(
    "kid",
    ["../../etc/passwd", "' OR 1=1 --", "a\u0000b", "k" * 10_000, "", "http://127.0.0.1/jwks", None, 7, {"a": 1}],
    ids=lambda kid: str(kid)[:20].encode("unicode_escape").decode(),
)
def test_the_name_of_a_key_is_only_a_name(provider, site, kid):
    head = encode({"typ": "JWT", "alg": "RS256", "kid": kid})
    _, claims, signature = provider.sign().split(".")
    assert site.refuses(f"{head}.{claims}.{signature}") is True


def test_a_token_of_any_length_is_refused(provider, site):
    token = provider.sign(filler="x" * 20_000)
    assert site.refuses(token) is True


def test_made_up_keys_cost_one_reading_an_interval(provider, site):
    _, claims, signature = provider.sign().split(".")
    before, began = provider.back("readings")["readings"], time.monotonic()

    for _ in range(500):
        head = encode({"typ": "JWT", "alg": "RS256", "kid": str(uuid.uuid4())})
        assert site.refuses(f"{head}.{claims}.{signature}") is True

    took = time.monotonic() - began
    assert provider.back("readings")["readings"] - before <= took // INTERVAL_SECS + 1


def test_a_rotation_at_the_provider_is_picked_up(provider, site):
    unseen = provider.sign("ES256")
    provider.back("rotate")
    token = provider.token("ES256")

    assert eventually(lambda: site.get(token).status_code == 200)
    assert site.refuses(unseen) is True


@contextlib.contextmanager
def disabled(site):
    with contextlib.closing(sqlite3.connect(site.folder / "data" / "tandem.db", timeout=20)) as database:
        database.execute("UPDATE tenants SET disabled_at_ms = 1")
        database.commit()
        yield
        database.execute("UPDATE tenants SET disabled_at_ms = NULL")
        database.commit()


def test_a_disabled_tenant_loses_keys_and_tokens_within_five_seconds(provider, site):
    token = provider.token("EdDSA")
    assert site.get(token).status_code == site.get(site.key).status_code == 200

    with disabled(site):
        assert eventually(lambda: site.refuses(token, "no_such_tenant", 403) is True, 5)
        assert eventually(lambda: site.refuses(site.key, "invalid_api_key") is True, 5)

    assert eventually(lambda: site.get(token).status_code == site.get(site.key).status_code == 200, 5)


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_an_orchestrator_takes_tokens_of_its_service_accounts(provider, tmp_path_factory):
    folder = tmp_path_factory.mktemp("services")
    inside, upstream = free_port(), free_port()
    catalog = f"""[[model]]
name = "m"
[[model.deployment]]
name = "d"
url = "http://127.0.0.1:{upstream}/v1"
upstream_model = "m"
"""
    (folder / "models.toml").write_text(catalog)
    variables = {
        "TANDEM__ADMIN__BIND": "127.0.0.1:0",
        "TANDEM__HTTP__BIND": f"0.0.0.0:{inside}",
        "TANDEM__ORCHESTRATOR__AUDIENCE": "https://orchestrator.test",
        "TANDEM__ORCHESTRATOR__SERVICE_ACCOUNTS": "gateway@test.iam",
        "TANDEM__ORCHESTRATOR__ISSUER": provider.url,
    }
    binary, log = BINARY.with_name("orchestrator"), open(folder / "orchestrator.log", "w")
    orchestrator = subprocess.Popen([binary], cwd=folder, env=variables, stderr=log, stdout=subprocess.DEVNULL)
    callers = []
    models = f"http://127.0.0.1:{inside}/internal/models"

    def ask(**claims):
        account = {"email": "gateway@test.iam", "email_verified": True, "aud": "https://orchestrator.test"}
        token = provider.sign(**account | claims)
        return httpx.get(models, headers={"authorization": f"Bearer {token}"}).status_code

    def call(audience):
        """`tandem up` asks its orchestrator for its models before it starts."""
        process, gateway = start(
            tmp_path_factory.mktemp("caller"),
            TANDEM__ORCHESTRATOR__URL=f"http://127.0.0.1:{inside}",
            TANDEM__ORCHESTRATOR__AUDIENCE=audience,
            GCE_METADATA_HOST=provider.url.removeprefix("http://"),
        )
        callers.append(process)
        return Site(folder, gateway["url"], gateway["key"])

    try:
        assert eventually(lambda: listens(inside)), (folder / "orchestrator.log").read_text()
        site = call("https://orchestrator.test")
        assert [model["id"] for model in site.get(site.key).json()["data"]] == ["m"]
        with pytest.raises(AssertionError, match="another audience"):
            call("https://other.test")
        assert httpx.get(models).status_code == 401
        assert [ask(), ask(email="x@test.iam"), ask(email_verified=False), ask(exp=1)] == [200, 403, 403, 401]
    finally:
        for process in [orchestrator, *callers]:
            process.terminate()
            process.wait(timeout=20)
