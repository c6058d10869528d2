//! A site to test: a simulator in this process, which survives everything and counts, and real `tandem up` processes that
//! may be killed at any moment, on SQLite or PostgreSQL.

mod api;
mod collector;
mod hooks;
mod issuer;
mod link;
pub mod pubsub;
pub mod scenarios;
mod served;

pub use api::Api;
pub use collector::Collector;
pub use hooks::{Hook, Hooks};
pub use issuer::Issuer;
pub use link::Link;

use domain::{Limit, LimitId, LimitKind, SubjectKind, TenantId};
use serde_json::{Value, json};
use servers::Reserved;
use simulator::{Simulator, SimulatorSettings};
use std::{
    io::{BufRead, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Author, Store};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// So much of a look at a condition counts as waiting, at most.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// What the processes of the services topology share.
const SECRET: &str = "the secret between services";

/// Where a site keeps its state.
#[derive(Debug, Clone, Copy)]
pub enum Database {
    /// A file in the site's folder.
    Sqlite,
    /// A database of its own on the server that `DATABASE_URL` names.
    Postgres,
}

/// State, models and a key; processes come and go.
pub struct Site {
    folder: TempDir,
    database_url: String,
    upstream: String,
    environment: Vec<(String, String)>,
    deployment: String,
    /// The model server's own count of what it was asked.
    pub simulator: Arc<Simulator>,
    /// An API key of the site.
    pub key: String,
    /// Whose key it is.
    pub tenant: TenantId,
    /// The database of the processes.
    pub store: Store,
    http: reqwest::Client,
    simulator_stop: CancellationToken,
    _simulator: JoinHandle<()>,
    _database: Option<servers::Database>,
}

/// One process, killed with its guard.
pub struct Process {
    child: Child,
    /// Base URL of its API.
    pub url: String,
    _api: Option<Reserved>,
    /// Where its admin port is.
    admin: Reserved,
}

/// The services topology, one process of each kind.
pub struct Services {
    /// Reaches the models.
    pub orchestrator: Process,
    /// Serves the API.
    pub gateway: Process,
    /// Runs batches.
    pub worker: Process,
}

impl Site {
    /// A fresh site whose model takes `tokens_per_sec` for each sequence.
    pub async fn new(database: Database, tokens_per_sec: f64) -> Self {
        let settings = SimulatorSettings { decode_tokens_per_sec: tokens_per_sec, ..SimulatorSettings::default() };
        Self::with_simulator(database, settings).await
    }

    /// A fresh site with this model server.
    pub async fn with_simulator(database: Database, settings: SimulatorSettings) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        match database {
            Database::Sqlite => {
                let url = format!("sqlite://{}", folder.path().join("tandem.db").display());
                Self::over(folder, url, None, settings).await
            }
            Database::Postgres => {
                let database = servers::Database::create("tandem_e2e");
                Self::over(folder, database.url(), Some(database), settings).await
            }
        }
    }

    /// The same as [`Self::new`], in the PostgreSQL database of this URL.
    pub async fn on_database(url: &str, tokens_per_sec: f64) -> Self {
        let settings = SimulatorSettings { decode_tokens_per_sec: tokens_per_sec, ..SimulatorSettings::default() };
        Self::over(tempfile::tempdir().expect("a temporary folder"), url.to_owned(), None, settings).await
    }

    async fn over(
        folder: TempDir,
        database_url: String,
        _database: Option<servers::Database>,
        settings: SimulatorSettings,
    ) -> Self {
        let store = Store::open(&database_url).await.expect("the database opens");
        store.migrate().await.expect("the database migrates");
        let tenant = store.ensure_tenant("acme").await.expect("a tenant");
        let (_, key) =
            store.create_key(&tenant.id, &store::NewKey::named("test", domain::Scopes::USER)).await.expect("a key");

        let simulator = Simulator::new(settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let upstream = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let simulator_stop = CancellationToken::new();
        let _simulator = tokio::spawn(simulator::serve(listener, simulator.clone(), simulator_stop.clone()));
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("an HTTP client");
        Self {
            folder,
            database_url,
            upstream,
            environment: Vec::new(),
            deployment: String::new(),
            simulator,
            key,
            tenant: tenant.id,
            store,
            http,
            simulator_stop,
            _simulator,
            _database,
        }
    }

    /// More variables for the processes that share the state; later ones win.
    #[must_use]
    pub fn with_environment(mut self, variables: &[(&str, &str)]) -> Self {
        self.environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// More lines for the deployment in the catalog of [`Self::start_gateways`].
    #[must_use]
    pub fn with_deployment(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.deployment);
        self
    }

    /// Starts everything in one process and waits until it serves.
    pub async fn start(&self) -> Process {
        self.start_with(&[]).await
    }

    /// The same with more settings in its environment.
    pub async fn start_with(&self, settings: &[(&str, &str)]) -> Process {
        let process = self.spawn("tandem", Some(Reserved::address()), |command| {
            command.args(["up", "--upstream", &self.upstream]);
            hurry(self.name_shared_state(command)).envs(settings.iter().copied());
        });
        self.wait_until_it_serves(&process).await;
        process
    }

    /// Starts `count` gateways that share the state and route by themselves, and waits until they serve.
    pub async fn start_gateways(&self, count: usize) -> Vec<Process> {
        self.start_gateways_with(count, &[]).await
    }

    /// The same with more settings in their environment.
    pub async fn start_gateways_with(&self, count: usize, settings: &[(&str, &str)]) -> Vec<Process> {
        let catalog = format!(
            "[[model]]\nname = \"tandem-sim\"\n[[model.deployment]]\nname = \"simulator\"\nurl = \"{}\"\n\
             upstream_model = \"tandem-sim\"\ninput_usd_per_million = 1.0\noutput_usd_per_million = 10.0\n{}",
            self.upstream, self.deployment
        );
        std::fs::write(self.folder.path().join("models.toml"), catalog).expect("the catalog can be written");
        let start = || {
            self.spawn("gateway", Some(Reserved::address()), |command| {
                // A machine that is busy with other tests is no database that is away.
                self.name_shared_state(command).env("TANDEM__GATEWAY__LIMITS__WAIT_MS", "10000");
                command.envs(settings.iter().copied());
            })
        };
        let gateways: Vec<_> = std::iter::repeat_with(start).take(count).collect();
        for gateway in &gateways {
            self.wait_until_it_serves(gateway).await;
        }
        gateways
    }

    /// Starts a worker that shares the state and routes by itself, with the catalog of [`Self::start_gateways`], which come first.
    #[must_use]
    pub fn start_worker_with(&self, settings: &[(&str, &str)]) -> Process {
        self.spawn("worker", None, |command| {
            hurry(self.name_shared_state(command)).envs(settings.iter().copied());
        })
    }

    /// A link to the site's PostgreSQL, and the URL of the database over it.
    pub async fn link_to_database(&self) -> (Link, String) {
        let (head, path) = self.database_url.rsplit_once('/').expect("a database in its URL");
        let (before, server) = head.rsplit_once(['@', '/']).expect("a server in its URL");
        let link = Link::to(server.to_owned()).await;
        let separator = &head[before.len()..=before.len()];
        // In the clear, so that the link can wait for a statement.
        let url = format!("{before}{separator}{}/{path}?sslmode=disable", link.address());
        (link, url)
    }

    /// Limits the site's tenant.
    pub async fn limit(&self, kind: LimitKind, amount: i64) -> LimitId {
        let author = Author { actor: "test".to_owned(), request_id: None };
        let limit = Limit {
            id: LimitId::generate(),
            tenant: self.tenant.clone(),
            subject_kind: SubjectKind::Tenant,
            subject: self.tenant.to_string(),
            model: None,
            kind,
            amount,
        };
        self.store.create_limit(&author, &limit).await.expect("a limit").limit.id
    }

    /// Starts the same as three processes, an orchestrator, a gateway and a worker, and waits until they serve.
    pub async fn start_services(&self) -> Services {
        self.start_services_with("").await
    }

    /// The same with more lines in the catalog's deployment.
    pub async fn start_services_with(&self, deployment: &str) -> Services {
        let orchestrator = self.start_orchestrator(&self.upstream, deployment);
        let gateway = self.start_gateway_of(&orchestrator).await;
        let worker = self.start_worker_of(&orchestrator, &[]);
        Services { orchestrator, gateway, worker }
    }

    /// An orchestrator for the model server at `upstream`, with these lines in the catalog's deployment.
    #[must_use]
    pub fn start_orchestrator(&self, upstream: &str, deployment: &str) -> Process {
        let catalog = format!(
            "[[model]]\nname = \"tandem-sim\"\n[[model.deployment]]\nname = \"simulator\"\nurl = \"{upstream}\"\n\
             upstream_model = \"tandem-sim\"\n{deployment}"
        );
        std::fs::write(self.folder.path().join("models.toml"), catalog).expect("the catalog can be written");
        self.spawn("orchestrator", Some(Reserved::address()), |command| {
            command.env("TANDEM__ORCHESTRATOR__SECRET", SECRET);
        })
    }

    /// A gateway before `orchestrator`; waits until it serves.
    pub async fn start_gateway_of(&self, orchestrator: &Process) -> Process {
        let gateway = self.spawn("gateway", Some(Reserved::address()), |command| {
            name_orchestrator(self.name_shared_state(command), &orchestrator.url);
        });
        self.wait_until_it_serves(&gateway).await;
        gateway
    }

    /// A worker that asks `orchestrator`, with more settings in its environment.
    #[must_use]
    pub fn start_worker_of(&self, orchestrator: &Process, settings: &[(&str, &str)]) -> Process {
        self.spawn("worker", None, |command| {
            name_orchestrator(hurry(self.name_shared_state(command)), &orchestrator.url).envs(settings.iter().copied());
        })
    }

    /// A link to the model server, and the address of its API over it.
    pub async fn link_to_model(&self) -> (Link, String) {
        let server = self.upstream_root().trim_start_matches("http://");
        let link = Link::to(server.to_owned()).await;
        let url = format!("http://{}/v1", link.address());
        (link, url)
    }

    /// A process that serves `api`, if it serves any.
    fn spawn(&self, binary: &str, api: Option<Reserved>, arrange: impl FnOnce(&mut Command)) -> Process {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .expect("a log file");
        let mut command = Command::new(beside_the_tests(binary));
        let admin = Reserved::address();
        command.current_dir(self.folder.path()).env("TANDEM__ADMIN__BIND", admin.to_string());
        if let Some(api) = &api {
            command.env("TANDEM__HTTP__BIND", api.to_string());
        }
        arrange(&mut command);
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        let child = child.expect("it starts; `cargo build --bins` makes it");
        let url = api.as_ref().map_or_else(String::new, |api| format!("http://{api}"));
        Process { child, url, _api: api, admin }
    }

    fn name_shared_state<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let server = if self.database_url.starts_with("sqlite") { "" } else { &self.database_url };
        let variables = self.environment.iter().map(|(name, value)| (name, value));
        command.env("TANDEM__DATA__DIR", self.folder.path()).env("TANDEM__DATA__DATABASE_URL", server).envs(variables)
    }

    async fn wait_until_it_serves(&self, process: &Process) {
        let ready = async || self.try_get(process, "/v1/models").await.is_some();
        assert!(eventually(Duration::from_secs(30), ready).await, "nothing serves:\n{}", self.log());
    }

    /// Runs a command of `tandem` that talks to `process` with `key`, in the folder of the site.
    #[must_use]
    pub fn command(&self, args: &[&str], process: &Process, key: &str) -> std::process::Output {
        let mut command = Command::new(beside_the_tests("tandem"));
        command.args(args).current_dir(self.folder.path()).env("TANDEM_URL", &process.url).env("TANDEM_API_KEY", key);
        command.output().expect("it runs; `cargo build --bins` makes it")
    }

    /// Runs a command of `tandem` that needs no API, with these settings in its environment.
    #[must_use]
    pub fn command_with(&self, args: &[&str], settings: &[(&str, &str)]) -> std::process::Output {
        let mut command = Command::new(beside_the_tests("tandem"));
        command.args(args).current_dir(self.folder.path()).envs(settings.iter().copied());
        command.output().expect("it runs; `cargo build --bins` makes it")
    }

    /// Where the processes run.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Runs SQL in the PostgreSQL database of the site.
    pub fn execute(&self, sql: &str) {
        let done = Command::new("psql").args([&self.database_url, "-qc", sql]).stdout(Stdio::null()).status();
        assert!(done.is_ok_and(|status| status.success()), "psql refuses {sql}");
    }

    /// What a query of one value finds in the PostgreSQL database of the site.
    #[must_use]
    pub fn look_up(&self, sql: &str) -> String {
        let done = Command::new("psql").args([&self.database_url, "-qAtc", sql]).output().expect("psql");
        assert!(done.status.success(), "psql refuses {sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    /// Runs a statement about the site's PostgreSQL database, which stands for `{}`, on the server beside it.
    pub fn administer(&self, statement: &str) {
        let (server, name) = self.database_url.rsplit_once('/').expect("a database in its URL");
        let sql = statement.replace("{}", name);
        let done = Command::new("psql").args([&format!("{server}/postgres"), "-qAtc", &sql]).output();
        assert!(done.is_ok_and(|done| done.status.success()), "psql refuses {sql}");
    }

    /// Whether anybody waits for a lock on a table of the site's PostgreSQL database.
    #[must_use]
    pub fn is_waited_for(&self, table: &str) -> bool {
        let sql = format!("select count(*) > 0 from pg_locks where not granted and relation = '{table}'::regclass");
        let said = Command::new("psql").args([&self.database_url, "-qAtc", &sql]).output().expect("psql");
        said.stdout.starts_with(b"t")
    }

    /// Nobody writes to a table of the site's PostgreSQL database until the guard is dropped.
    #[must_use]
    pub fn lock(&self, table: &str) -> Lock {
        let mut command = Command::new("psql");
        command.args([&self.database_url, "-qAt"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut session = command.spawn().expect("psql");
        let sql = format!("begin; lock table {table} in share mode; select 'locked';\n");
        session.stdin.as_mut().expect("its input").write_all(sql.as_bytes()).expect("psql listens");
        let mut said = String::new();
        let output = session.stdout.as_mut().expect("its output");
        std::io::BufReader::new(output).read_line(&mut said).expect("psql answers");
        assert_eq!(said.trim(), "locked");
        Lock { session }
    }

    /// Ends every connection to the site's PostgreSQL database.
    pub fn end_connections(&self) {
        self.administer("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'");
    }

    /// An HTTP client, connections and all.
    #[must_use]
    pub fn client(&self) -> &reqwest::Client {
        &self.http
    }

    /// The API of `process`, with the site's key.
    #[must_use]
    pub fn api(&self, process: &Process) -> Api {
        Api::new(self.http.clone(), &process.url, &self.key)
    }

    /// POSTs JSON and gives the status and the body.
    pub async fn ask(&self, process: &Process, path: &str, body: &Value) -> (u16, String) {
        self.api(process).ask(path, body).await
    }

    /// What the process measures, as Prometheus reads it.
    pub async fn metrics(&self, process: &Process) -> String {
        let page = self.http.get(format!("http://{}/metrics", process.admin)).send().await.expect("an answer");
        page.text().await.expect("text")
    }

    /// The address of the model server, without its `/v1`.
    #[must_use]
    pub fn upstream_root(&self) -> &str {
        self.upstream.trim_end_matches("/v1")
    }

    /// Everything in the database: a dump of PostgreSQL's, or the bytes of the SQLite file and of its log.
    #[must_use]
    pub fn database_text(&self) -> String {
        let bytes = if self.database_url.starts_with("sqlite") {
            let read = |name| std::fs::read(self.folder.path().join(name)).unwrap_or_default();
            [read("tandem.db"), read("tandem.db-wal")].concat()
        } else {
            let dump = Command::new("pg_dump").args(["--data-only", "--inserts", &self.database_url]).output();
            let dump = dump.expect("pg_dump, which comes with psql");
            assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
            dump.stdout
        };
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Settings that no variable can carry, for processes that start from now on.
    pub fn write_settings(&self, toml: &str) {
        std::fs::write(self.folder.path().join("tandem.toml"), toml).expect("the settings can be written");
    }

    /// What the processes logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// GET as JSON; `None` when there is no answer or no success.
    pub async fn try_get(&self, process: &Process, path: &str) -> Option<Value> {
        self.api(process).try_get(path).await
    }

    /// Uploads `content` and starts a batch of chat completions.
    pub async fn submit(&self, process: &Process, content: String) -> String {
        self.api(process).submit(content).await
    }

    /// The content of a file, as text.
    pub async fn content(&self, process: &Process, file: &str) -> String {
        self.api(process).content(file).await
    }
}

/// A session of PostgreSQL that has a table locked.
pub struct Lock {
    session: Child,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The end of its input is the end of the session, and of its transaction.
        drop(self.session.stdin.take());
        self.session.wait().expect("psql ends");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.simulator_stop.cancel();
    }
}

impl Process {
    /// SIGKILL, as the kernel does it to a process out of memory.
    pub fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process ends");
    }
}

impl Process {
    /// Sends it a signal, `STOP` as an example.
    pub fn signal(&self, name: &str) {
        let told = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()), "the process can be told");
    }

    /// SIGTERM, and the code that it exits with.
    pub async fn terminate(self) -> Option<i32> {
        self.signal("TERM");
        self.exit().await
    }

    /// Waits until it exits by itself, and gives its code.
    pub async fn exit(mut self) -> Option<i32> {
        let mut status = None;
        eventually(Duration::from_secs(30), async || {
            status = self.child.try_wait().expect("the process can be watched");
            status.is_some()
        })
        .await;
        status.and_then(|status| status.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is fine: the guard only makes sure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `count` chat lines with custom ids `line-0`, `line-1`, and so on.
#[must_use]
pub fn chat_lines(count: usize, max_tokens: u32) -> String {
    let line = |n: usize| {
        let body = json!({"model": "tandem-sim", "max_tokens": max_tokens, "messages": [{"role": "user", "content": format!("Question {n}")}]});
        json!({"custom_id": format!("line-{n}"), "method": "POST", "url": "/v1/chat/completions", "body": body})
            .to_string()
            + "\n"
    };
    (0..count).map(line).collect()
}

/// Polls a condition until it holds; false when it never did. The limit only ends a hung test.
pub async fn eventually(limit: Duration, mut condition: impl AsyncFnMut() -> bool) -> bool {
    let mut waited = Duration::ZERO;
    while waited < limit {
        let began = Instant::now();
        if condition().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        // A machine that stood still for a minute has waited for nobody.
        waited += began.elapsed().min(LONGEST_LOOK);
    }
    false
}

/// A binary of the workspace, beside this one or one folder above it, where that of a test is.
fn beside_the_tests(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("the path of this program");
    let beside = this.with_file_name(name);
    if beside.exists() { beside } else { this.ancestors().nth(2).expect("target/<profile>/deps/<test>").join(name) }
}

/// Short periods, so that a test waits for nothing that it does not test.
fn hurry(command: &mut Command) -> &mut Command {
    command.env("TANDEM__WORKER__LEASE_MS", "5000");
    for period in ["HEARTBEAT_MS", "SWEEP_MS", "POLL_MS", "FLUSH_MS"] {
        command.env(format!("TANDEM__WORKER__{period}"), "300");
    }
    command
}

/// Where the orchestrator is, and what it shares with those that may call it.
fn name_orchestrator<'a>(command: &'a mut Command, url: &str) -> &'a mut Command {
    command.env("TANDEM__ORCHESTRATOR__URL", url).env("TANDEM__ORCHESTRATOR__SECRET", SECRET)
}
