//! The Pub/Sub emulator of the Google Cloud CLI. It holds everything in memory.

use crate::{Reserved, signal};
use std::{
    ffi::OsString,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// A busy machine takes its time; only a broken emulator takes all of this.
const START: Duration = Duration::from_secs(60);

/// A running emulator.
pub struct Emulator {
    program: PathBuf,
    host: Reserved,
    child: Option<Child>,
}

impl Emulator {
    /// Starts one. Where none is installed it says so, and there is nothing to test with; `make test` asks for it beforehand.
    #[must_use]
    pub fn start_anywhere() -> Option<Self> {
        let Some(program) = installed() else {
            eprintln!("SKIPPED: the Pub/Sub emulator is not installed (scripts/with-pubsub.sh says how)");
            return None;
        };
        let mut emulator = Self { program, host: Reserved::address(), child: None };
        emulator.start();
        Some(emulator)
    }

    /// Where it is, as `PUBSUB_EMULATOR_HOST` has it.
    #[must_use]
    pub fn host(&self) -> SocketAddr {
        *self.host
    }

    /// Starts it again at the same address, and empty.
    pub fn start(&mut self) {
        let child = Command::new(&self.program)
            .args([format!("--host={}", self.host.ip()), format!("--port={}", self.host.port())])
            .env("CLOUD_PUBSUB_EMULATOR_OPTS", "-Xmx128m")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the emulator starts");
        self.child = Some(child);
        let begun = Instant::now();
        while TcpStream::connect(*self.host).is_err() {
            assert!(begun.elapsed() < START, "the emulator does not listen at {}", self.host);
            sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Connections stay, and nothing is answered any more.
    pub fn freeze(&self) {
        signal("STOP", self.child.as_ref().expect("it runs"));
    }

    /// It goes on.
    pub fn thaw(&self) {
        signal("CONT", self.child.as_ref().expect("it runs"));
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// The emulator that `PUBSUB_EMULATOR` names, else the one in the folder of the CLI, which is on the path.
fn installed() -> Option<PathBuf> {
    let named = variable("PUBSUB_EMULATOR").filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(beside_gcloud).filter(|file| file.exists())
}

fn beside_gcloud() -> Option<PathBuf> {
    let path = variable("PATH")?;
    let gcloud = std::env::split_paths(&path).map(|folder| folder.join("gcloud")).find(|file| file.exists())?;
    let sdk = gcloud.canonicalize().ok()?.parent()?.parent()?.to_owned();
    Some(sdk.join("platform/pubsub-emulator/bin/cloud-pubsub-emulator"))
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
