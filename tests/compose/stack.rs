//! compose.yaml as a project of its own, driven by its command line.

use e2e::{Api, eventually};
use serde_json::{Value, json};
use servers::Reserved;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

/// Only ends a hung start.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);
const PROJECT: &str = "tandem-compose-test";
const FILES: [&str; 6] =
    ["--env-file", ".env.example", "--file", "compose.yaml", "--file", "tests/compose/settings.yaml"];
/// The services that have a health check, and the port of their admin routes.
pub(crate) const SERVICES: [(&str, u16); 5] =
    [("gateway-1", 9090), ("gateway-2", 9090), ("orchestrator", 9091), ("worker-1", 9092), ("worker-2", 9092)];

/// The running project, and its keys.
pub(crate) struct Stack {
    /// The command line of compose, `docker compose` or `docker-compose`.
    command: Vec<String>,
    environment: Vec<(String, String)>,
    _addresses: [Reserved; 2],
    /// Both gateways, as a user sees them.
    pub(crate) gateways: [Api; 2],
    /// The same for an operator.
    pub(crate) admin: Api,
    /// What the gateways are asked with, for callers that are no part of this program.
    pub(crate) key: String,
    /// Where they listen.
    pub(crate) urls: [String; 2],
}

impl Stack {
    /// Starts the project without anything from before, and waits until all of it is healthy.
    pub(crate) async fn up() -> Self {
        let addresses = [Reserved::address(), Reserved::address()];
        let urls = addresses.each_ref().map(|address| format!("http://{address}"));
        let command = line("COMPOSE", "docker compose");
        let environment = environment(&addresses);
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().unwrap();
        let api = |url: &str, key: &str| Api::new(client.clone(), url, key);
        let mut stack = Self {
            gateways: [api(&urls[0], ""), api(&urls[1], "")],
            admin: api(&urls[0], ""),
            key: String::new(),
            command,
            environment,
            _addresses: addresses,
            urls,
        };
        stack.down();
        stack.compose(&["up", "--detach"]);
        for (service, _) in SERVICES {
            stack.until_healthy(service).await;
        }
        stack.key = stack.new_key(&["user", "--tenant", "acme"]);
        stack.gateways = [api(&stack.urls[0], &stack.key), api(&stack.urls[1], &stack.key)];
        stack.admin = api(&stack.urls[0], &stack.new_key(&["operator", "--admin", "--tenant", "acme"]));
        stack
    }

    /// Takes the project and its volumes away.
    pub(crate) fn down(&self) {
        self.compose(&["down", "--remove-orphans", "--volumes", "--timeout", "2"]);
    }

    /// Makes a key in the database, as an operator does.
    fn new_key(&self, arguments: &[&str]) -> String {
        let told = self.compose(&[&["run", "--rm", "-T", "tandem", "keys", "create"], arguments].concat());
        let key = told.lines().find(|line| line.starts_with("tdm_"));
        key.unwrap_or_else(|| panic!("no key in {told}")).to_owned()
    }

    /// A new tenant's id, and both gateways as its caller sees them.
    pub(crate) async fn tenant(&self, name: &str) -> (String, [Api; 2]) {
        let made = async |path: &str, body: Value| self.admin.made(path, |request| request.json(&body)).await;
        let tenant = made("/admin/v1/tenants", json!({"name": name})).await["id"].as_str().unwrap().to_owned();
        let key = made("/admin/v1/keys", json!({"name": name, "tenant_id": tenant})).await;
        let gateways = self.gateways.clone().map(|gateway| gateway.with_key(key["secret"].as_str().unwrap()));
        (tenant, gateways)
    }

    /// Runs compose and gives what it printed; it has to succeed.
    pub(crate) fn compose(&self, arguments: &[&str]) -> String {
        let done = self.try_compose(arguments);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {said}");
        String::from_utf8(done.stdout).expect("text")
    }

    /// The same; it may fail.
    pub(crate) fn try_compose(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).args(FILES).args(arguments);
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        command.current_dir(root()).envs(environment).stdin(Stdio::null()).output().expect("compose runs")
    }

    /// SIGKILL, as the kernel does it to a process out of memory.
    pub(crate) fn kill(&self, service: &str) {
        docker(&["kill", &self.container(service)]);
    }

    /// SIGTERM; it returns when the container has ended, or was killed because it had not.
    pub(crate) fn stop(&self, service: &str) {
        docker(&["stop", &self.container(service)]);
    }

    /// SIGTERM, without waiting for the end.
    pub(crate) fn begin_to_stop(&self, service: &str) -> Child {
        Command::new("docker")
            .args(["stop", &self.container(service)])
            .stdout(Stdio::null())
            .spawn()
            .expect("docker runs")
    }

    /// Stops a container and starts it again.
    pub(crate) fn restart(&self, service: &str) {
        docker(&["restart", &self.container(service)]);
    }

    /// Starts a container again that was killed or stopped, and waits until it is healthy.
    pub(crate) async fn start(&self, service: &str) {
        docker(&["start", &self.container(service)]);
        self.until_healthy(service).await;
    }

    /// Starts what an earlier test has left broken.
    pub(crate) async fn mend(&self) {
        for service in ["postgres", "rabbitmq"].into_iter().chain(SERVICES.map(|(service, _)| service)) {
            if self.inspect(service)["State"]["Running"] == false {
                docker(&["start", &self.container(service)]);
            }
            self.until_healthy(service).await;
        }
    }

    /// Waits for the health check of the service's container.
    pub(crate) async fn until_healthy(&self, service: &str) {
        let mut state = Value::Null;
        let is_healthy = async || {
            state = self.inspect(service)["State"].clone();
            state["Health"]["Status"] == "healthy"
        };
        assert!(eventually(LIMIT, is_healthy).await, "{service}: {state}\n{}", self.log());
    }

    /// The container of a service, as the engine describes it.
    pub(crate) fn inspect(&self, service: &str) -> Value {
        inspect(&["inspect", &self.container(service)])
    }

    /// The id of the service's container, running or not.
    fn container(&self, service: &str) -> String {
        let project = format!("label=com.docker.compose.project={PROJECT}");
        let service_label = format!("label=com.docker.compose.service={service}");
        let filters =
            ["--filter", &project, "--filter", &service_label, "--filter", "label=com.docker.compose.oneoff=False"];
        let id = docker(&[&["ps", "--all", "--quiet", "--no-trunc"], filters.as_slice()].concat()).trim().to_owned();
        assert!(!id.is_empty(), "{service} has no container");
        id
    }

    /// What a service answers inside its container, where no port is published.
    pub(crate) fn probe(&self, service: &str, port: u16, path: &str) -> String {
        docker(&["exec", &self.container(service), "probe", &format!("http://127.0.0.1:{port}{path}")])
    }

    /// What a service counts: the sum of a metric over the series that have this label's value.
    pub(crate) fn count(&self, service: &str, metric: &str, value: &str) -> u64 {
        let port = SERVICES.iter().find(|(known, _)| *known == service).expect("a service of ours").1;
        let page = self.probe(service, port, "/metrics");
        let of_metric = |line: &&str| {
            line.strip_prefix(metric).is_some_and(|rest| rest.starts_with('{'))
                && line.contains(&format!("=\"{value}\""))
        };
        page.lines().filter(of_metric).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// The calls that the simulated model servers have answered so far.
    pub(crate) fn answered(&self) -> u64 {
        let stats = ["simulator-1", "simulator-2"].map(|simulator| self.probe(simulator, 8000, "/sim/stats"));
        let count = |text: &String| serde_json::from_str::<Value>(text).ok()?["completed"].as_u64();
        stats.iter().map(|text| count(text).expect("the simulator counts")).sum()
    }

    /// Waits until so many more calls were answered than `before`.
    pub(crate) async fn until_answered(&self, before: u64, more: u64) {
        assert!(eventually(LIMIT, async || self.answered() >= before + more).await, "{}", self.log());
    }

    /// The last that every service said.
    pub(crate) fn log(&self) -> String {
        let said = self.try_compose(&["logs", "--no-color", "--tail", "60"]);
        String::from_utf8_lossy(&said.stdout).into_owned()
    }
}

/// What the engine knows of a container or an image.
pub(crate) fn inspect(arguments: &[&str]) -> Value {
    serde_json::from_str::<Value>(&docker(arguments)).expect("JSON")[0].clone()
}

/// Runs docker and gives what it printed; it has to succeed.
fn docker(arguments: &[&str]) -> String {
    let done = Command::new("docker").args(arguments).stdin(Stdio::null()).output().expect("docker runs");
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("text")
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the root of the repository")
}

/// What is other than in .env.example: a project of its own, the images under test, and free ports.
fn environment(addresses: &[Reserved; 2]) -> Vec<(String, String)> {
    let owned = |name: &str, value: String| (name.to_owned(), value);
    vec![
        owned("COMPOSE_PROJECT_NAME", PROJECT.to_owned()),
        owned("TAG", variable("TAG").unwrap_or_else(|| "test".to_owned())),
        owned("GATEWAY_1_PORT", addresses[0].port().to_string()),
        owned("GATEWAY_2_PORT", addresses[1].port().to_string()),
        owned("SIMULATOR_TOKENS_PER_SEC", "100".to_owned()),
    ]
}

fn line(name: &str, default: &str) -> Vec<String> {
    let line = variable(name).unwrap_or_else(|| default.to_owned());
    line.split_whitespace().map(str::to_owned).collect()
}

pub(crate) fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the test runner names the images and the command to use")]
    std::env::var(name).ok()
}
