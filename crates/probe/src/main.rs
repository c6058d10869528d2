//! `probe URL`: asks once, prints the answer, and exits with 0 if it was a success. The health check of images, which have no shell.

use std::{
    io::{self, Write},
    process::ExitCode,
};

const TIMEOUT_SECS: u64 = 3;

fn main() -> ExitCode {
    // The first is the name of this program.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url] = arguments.as_slice() else {
        eprintln!("usage: probe URL");
        return ExitCode::from(2);
    };
    match ask(url) {
        Ok(status) if (200..300).contains(&status) => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("probe: {url} answers {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("probe: {url}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The status of the answer, whose body is printed.
fn ask(url: &str) -> Result<u16, minreq::Error> {
    let answer = minreq::get(url).with_timeout(TIMEOUT_SECS).send()?;
    io::stdout().write_all(answer.as_bytes()).map_err(minreq::Error::IoError)?;
    Ok(answer.status_code)
}
