//! What the server is made of at its start.

use crate::{Config, Cursors};

rt::main!("worker", |boot| {
    let telemetry = &boot.manifest.telemetry;
    // Once in the life of the process.
    let name: &'static str = manifest::process_name(boot.name, boot.index).leak();
    let reports = boot.manifest.server("telemetry").is_some();
    let config = Config::from_manifest(telemetry, boot.index);
    Ok(crate::tree(config, cursors(boot, name)?, reports.then_some(name)))
});

/// The cursors, those of earlier lives too where the manifest says so.
#[cfg(not(target_os = "none"))]
fn cursors(boot: &rt::Boot, process: &str) -> Result<Cursors, rt::BootError> {
    if !boot.manifest.telemetry.cursor_retain {
        return Ok(Cursors::new());
    }
    let dir = boot.data.join(process);
    let (cursors, unread) =
        Cursors::open(&dir).map_err(|error| rt::BootError(format!("{}: {error}", dir.display())))?;
    if unread > 0 {
        eprintln!("{process}: {}: {unread} lines are no cursors", dir.join("cursors").display());
    }
    Ok(cursors)
}

/// There is nowhere to keep any.
#[cfg(target_os = "none")]
fn cursors(boot: &rt::Boot, _: &str) -> Result<Cursors, rt::BootError> {
    if boot.manifest.telemetry.cursor_retain {
        return Err(rt::BootError(
            "telemetry.cursor_retain: the image has no disk to keep cursors on".into(),
        ));
    }
    Ok(Cursors::new())
}
