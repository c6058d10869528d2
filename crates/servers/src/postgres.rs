//! A PostgreSQL of a test's own, to be killed, started again, and followed by a standby that takes its place.

use crate::{Reserved, signal_to};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Where Debian's packages have the programs, a folder for each version.
const PACKAGES: &str = "/usr/lib/postgresql";
/// A busy machine takes its time; only a broken server takes all of this.
const START: Duration = Duration::from_secs(60);

/// A server that ends with its guard.
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    address: Reserved,
}

impl Postgres {
    /// Starts one. Where none is installed it says so, and there is nothing to test with.
    #[must_use]
    pub fn start_anywhere() -> Option<Self> {
        let Some(programs) = newest() else {
            eprintln!("SKIPPED: no PostgreSQL server is installed here (`sudo apt-get install postgresql`)");
            return None;
        };
        let mut server = Self::at_free_port(programs);
        let data = server.data();
        server.must(
            "initdb",
            ["-U", "postgres", "--auth=trust", "-D"].map(OsStr::new).into_iter().chain([data.as_os_str()]),
        );
        server.start();
        Some(server)
    }

    /// A copy of it that follows it and can be read only.
    #[must_use]
    pub fn standby(&self) -> Self {
        let mut standby = Self::at_free_port(self.programs.clone());
        let data = standby.data();
        let source = format!("host=127.0.0.1 port={} user=postgres", self.address.port());
        let args = ["--write-recovery-conf", "--checkpoint=fast", "--dbname", &source, "--pgdata"];
        standby.must("pg_basebackup", args.map(OsStr::new).into_iter().chain([data.as_os_str()]));
        standby.start();
        standby
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The URL of its first database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address())
    }

    /// Starts it again with what it had on disk, and waits until it takes connections.
    pub fn start(&mut self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c max_connections=200 -c shared_buffers=32MB",
            self.address.port(),
            self.folder.path().display()
        );
        let (data, log) = (self.data(), self.folder.path().join("log"));
        let seconds = START.as_secs().to_string();
        let args = ["start", "--wait", "--silent", "--timeout", &seconds, "--options", &options, "--pgdata"];
        let files = [data.as_os_str(), OsStr::new("--log"), log.as_os_str()];
        self.must("pg_ctl", args.map(OsStr::new).into_iter().chain(files));
    }

    /// SIGKILL to the server and everything it runs, as with a machine that is gone.
    pub fn kill(&mut self) {
        let Some(server) = self.process() else { return };
        // Its own processes would else finish what they are at.
        let children = Command::new("pgrep").args(["-P", &server]).output().expect("pgrep of procps");
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        for process in [server.as_str()].into_iter().chain(children.lines()) {
            signal_to("KILL", process);
        }
        let begun = Instant::now();
        while Path::new("/proc").join(&server).exists() {
            assert!(begun.elapsed() < START, "PostgreSQL {server} does not end");
            sleep(Duration::from_millis(20));
        }
    }

    /// Turns a standby into a server that can be written.
    pub fn promote(&mut self) {
        let data = self.data();
        let args = ["promote", "--wait", "--silent", "--pgdata"].map(OsStr::new);
        self.must("pg_ctl", args.into_iter().chain([data.as_os_str()]));
    }

    fn at_free_port(programs: PathBuf) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        if is_root() {
            // The server refuses to run as root.
            let owned = Command::new("chown").arg("postgres").arg(folder.path()).status();
            assert!(owned.is_ok_and(|status| status.success()), "the folder is given to the user postgres");
        }
        Self { folder, programs, address: Reserved::address() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its process, if it runs.
    fn process(&self) -> Option<String> {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        let process = file.lines().next()?.to_owned();
        Path::new("/proc").join(&process).exists().then_some(process)
    }

    fn must<'a>(&self, program: &str, args: impl Iterator<Item = &'a OsStr>) {
        let done = self.run(program, args);
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        assert!(done.status.success(), "{program}: {}\n{log}", String::from_utf8_lossy(&done.stderr));
    }

    fn run<'a>(&self, program: &str, args: impl Iterator<Item = &'a OsStr>) -> Output {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // What is left open by a server that goes on would be waited for: its output is in the log.
        let (out, err) = (self.folder.path().join("out"), self.folder.path().join("err"));
        let file = |path: &Path| std::fs::File::create(path).expect("a file in the temporary folder");
        let status = command.args(args).current_dir(self.folder.path()).stdout(file(&out)).stderr(file(&err)).status();
        let read = |path| std::fs::read(path).unwrap_or_default();
        Output { status: status.expect("PostgreSQL's programs run"), stdout: read(out), stderr: read(err) }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn newest() -> Option<PathBuf> {
    let versions = std::fs::read_dir(PACKAGES).ok()?.filter_map(|entry| entry.ok());
    let programs = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").exists());
    programs.max_by_key(|bin| bin.parent().and_then(|version| version.file_name()?.to_str()?.parse::<u32>().ok()))
}

fn is_root() -> bool {
    // The owner of a process's entry there is who it runs as.
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").expect("Linux has /proc")) == 0
}
