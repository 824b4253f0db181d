//! The process of telemetry.
#![forbid(unsafe_code)]

use telemetryfs::{Config, Devices};

fn main() -> std::process::ExitCode {
    rt::serve("telemetry", |boot| {
        let dir = boot.data.join("telemetry");
        let config = Config::from_manifest(&boot.manifest.telemetry);
        let devices = Devices::open(&dir, config)
            .map_err(|error| rt::BootError(format!("{}: {error}", dir.display())))?;
        Ok(telemetryfs::tree(devices))
    })
}
