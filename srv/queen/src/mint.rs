//! Tickets for the workers that the queen spawns.

use authority::Worker;
use rt::prelude::*;
use ticket::{Bounds, Budget, Claims, IssuerKey, Quota, Role};
use zeroize::Zeroizing;

/// The issuer's key, and where randomness comes from.
pub struct Minter {
    key: IssuerKey,
    hive: String,
    bounds: Bounds,
    entropy: fn(&mut [u8]) -> Result<(), String>,
}

impl Minter {
    /// The key that the manifest refers to, or that init has made for a bench hive.
    pub fn from_boot(boot: &rt::Boot) -> Result<Minter, rt::BootError> {
        let tickets = &boot.manifest.tickets;
        let reference = tickets.issuer.as_deref().unwrap_or("file:issuer.key");
        let said = |what: String| rt::BootError(format!("tickets.issuer {reference}: {what}"));
        let text = Zeroizing::new(boot.secret("tickets.issuer", reference)?);
        let key = IssuerKey::from_hex(text.trim()).map_err(|e| said(e.to_string()))?;
        Ok(Minter {
            key,
            hive: boot.manifest.hive.name.clone(),
            bounds: Bounds::from(tickets),
            entropy: |out| rt::entropy(out).map_err(|error| error.to_string()),
        })
    }

    /// One with a key that everybody knows.
    #[cfg(test)]
    pub(crate) fn known() -> Minter {
        let key = IssuerKey::from_hex(&"07".repeat(32)).unwrap_or_else(|error| panic!("{error}"));
        let entropy = |out: &mut [u8]| {
            out.fill(7);
            Ok(())
        };
        Minter { key, hive: "hive".into(), bounds: Bounds::default(), entropy }
    }

    /// The ticket that lets a worker in.
    pub(crate) fn ticket(&self, worker: &Worker) -> Result<String, String> {
        let mut seed = [0; 32];
        (self.entropy)(&mut seed)?;
        let mut id = [0; 16];
        for (byte, hex) in id.iter_mut().zip(worker.ticket.as_bytes().chunks_exact(2)) {
            let hex = core::str::from_utf8(hex).map_err(|error| error.to_string())?;
            *byte = u8::from_str_radix(hex, 16).map_err(|error| error.to_string())?;
        }
        let role: Role = worker.kind.role().parse().map_err(|_| format!("{} has no role", worker.id))?;
        let claims = Claims {
            hive: self.hive.clone(),
            id,
            role,
            subject: worker.id.clone(),
            issued_ms: worker.ticket_ms.0,
            expires_ms: worker.ticket_ms.1,
            budget: Budget { ops: (worker.ops > 0).then_some(worker.ops), ..Budget::default() },
            scopes: Vec::new(),
            // A worker's bytes are bounded by its records and ticks; the manifest's quota is for
            // tickets that people carry.
            quota: Quota::default(),
        };
        let token =
            ticket::mint(&claims, &self.key, seed, &self.bounds).map_err(|error| error.to_string())?;
        Ok(token.reveal().to_string())
    }
}
