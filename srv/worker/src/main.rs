//! The workers' telemetry's process.
#![forbid(unsafe_code)]

use workerfs::{Config, Cursors};

fn main() -> std::process::ExitCode {
    rt::serve("worker", |boot| {
        let telemetry = &boot.manifest.telemetry;
        let mut cursors = Cursors::new();
        if telemetry.cursor_retain {
            let dir = boot.data.join("worker");
            let opened =
                Cursors::open(&dir).map_err(|error| rt::BootError(format!("{}: {error}", dir.display())))?;
            if opened.1 > 0 {
                eprintln!("worker: {}: {} lines are no cursors", dir.join("cursors").display(), opened.1);
            }
            cursors = opened.0;
        }
        let reports = boot.manifest.server("telemetry").is_some();
        Ok(workerfs::tree(Config::from_manifest(telemetry), cursors, reports))
    })
}
