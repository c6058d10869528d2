//! A RabbitMQ of a test's own, to be stopped, killed and starved.

use crate::Reserved;
use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// Where Debian's package and the official image have the scripts that don't change users.
const SCRIPTS: [&str; 2] = ["/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin"];
/// A busy machine takes its time; only a broken server takes all of this.
const START: Duration = Duration::from_secs(120);

/// A server that ends with its guard.
pub struct Broker {
    folder: TempDir,
    scripts: &'static Path,
    address: Reserved,
    distribution: Reserved,
    server: Option<Child>,
}

impl Broker {
    /// Starts one. Where RabbitMQ is not installed it says so, and there is nothing to test with.
    #[must_use]
    pub fn start_anywhere() -> Option<Self> {
        let Some(scripts) = SCRIPTS.map(Path::new).into_iter().find(|scripts| scripts.exists()) else {
            eprintln!("SKIPPED: no RabbitMQ is installed here (`sudo apt-get install rabbitmq-server`)");
            return None;
        };
        let folder = TempDir::new().unwrap();
        // Server and command line would otherwise both make one.
        let cookie = folder.path().join(".erlang.cookie");
        std::fs::write(&cookie, uuid::Uuid::now_v7().simple().to_string()).unwrap();
        std::fs::set_permissions(&cookie, Permissions::from_mode(0o400)).unwrap();
        let (address, distribution) = (Reserved::address(), Reserved::address());
        let mut broker = Self { folder, scripts, address, distribution, server: None };
        broker.start();
        Some(broker)
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Starts it again, with what it had on disk.
    pub fn start(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("out")).unwrap();
        let mut command = self.command("rabbitmq-server");
        // The script then turns into the server, so that a signal reaches it.
        command.env("RUNNING_UNDER_SYSTEMD", "1").stdout(log.try_clone().unwrap()).stderr(log);
        let server = self.server.insert(command.spawn().unwrap());
        let server = server.id().to_string();
        self.control(&["wait", "--pid", &server, "--timeout", &START.as_secs().to_string()]);
    }

    /// Ends it as an operator does.
    pub fn stop(&mut self) {
        self.control(&["stop"]);
        self.server.take().unwrap().wait().unwrap();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Makes it believe that its memory is used up, so that it takes nothing from those that publish.
    pub fn starve(&self) {
        self.control(&["set_vm_memory_high_watermark", "0.00000001"]);
    }

    /// Gives it its memory back.
    pub fn feed(&self) {
        self.control(&["set_vm_memory_high_watermark", "0.6"]);
    }

    fn control(&self, args: &[&str]) {
        let done = self.command("rabbitmqctl").args(args).output().unwrap();
        let log = std::fs::read_to_string(self.folder.path().join("out")).unwrap_or_default();
        assert!(done.status.success(), "{args:?}: {}\n{log}", String::from_utf8_lossy(&done.stderr));
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new(self.scripts.join(script));
        let folder = self.folder.path();
        command
            .current_dir(folder)
            .stdin(Stdio::null())
            .env("HOME", folder)
            .env("RABBITMQ_NODENAME", format!("tandem-{}@localhost", self.address.port()))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.address.port().to_string())
            .env("RABBITMQ_DIST_PORT", self.distribution.port().to_string())
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("none"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"));
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.kill();
        }
    }
}
