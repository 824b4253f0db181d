//! The process of telemetry.
#![forbid(unsafe_code)]

use ninep::srv::Journal;
use telemetryfs::{Config, Devices, Exports};

fn main() -> std::process::ExitCode {
    rt::serve("telemetry", |boot| {
        let dir = boot.data.join("telemetry");
        let config = Config::from_manifest(&boot.manifest.telemetry);
        let devices = Devices::open(&dir, config).map_err(rt::BootError)?;
        let has = |name: &'static str| boot.manifest.server(name).map(|_| name);
        let pending = boot.manifest.telemetry.pending as usize;
        let journal = Journal { audit: has("audit"), policy: has("policy"), pending };
        let job_bytes = boot.manifest.export.job_bytes;
        let exports = Exports::open(&boot.data.join("exports"), job_bytes).map_err(rt::BootError)?;
        Ok(telemetryfs::tree(devices, exports, journal))
    })
}
