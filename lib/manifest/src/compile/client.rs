//! `client.toml`: what commands load (spec 10.5).

use std::format;
use std::string::{String, ToString};

use serde::{Deserialize, Serialize};

use super::keys::{Absent, Allowed, find};
use crate::{Client, Fingerprint, Manifest};

/// What a hive asks of its clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// The hive's name.
    pub hive: String,
    /// Fingerprint of the manifest; `/proc/version` shows the hive's.
    pub manifest: String,
    /// Largest frame to ask for, bytes.
    pub msize: u32,
    /// The client policy.
    pub client: Client,
}

impl ClientConfig {
    /// That of a manifest.
    pub fn of(manifest: &Manifest, fingerprint: Fingerprint) -> ClientConfig {
        ClientConfig {
            hive: manifest.hive.name.clone(),
            manifest: fingerprint.to_string(),
            msize: manifest.ninep.msize,
            client: manifest.client.clone(),
        }
    }

    /// Reads `client.toml`, and holds its numbers to the manifest's bounds; the error is a sentence.
    pub fn parse(text: &str) -> Result<ClientConfig, String> {
        let config: ClientConfig = toml::from_str(text).map_err(|error| error.message().to_string())?;
        for (key, value) in config.client.numbers() {
            if let Some(Allowed::Int(min, max)) = find(key).map(|key| key.allowed)
                && !i64::try_from(value).is_ok_and(|value| (min..=max).contains(&value))
            {
                return Err(format!("{key}: {value} found; {min} to {max} is allowed"));
            }
        }
        Ok(config)
    }

    /// The file.
    pub fn text(&self) -> String {
        // A few strings and numbers: there is nothing that could not be written.
        let text = toml::to_string(self).unwrap_or_default();
        format!("# Written by coh-rtc(8) from the hive's manifest.\n{text}")
    }
}

impl Client {
    fn numbers(&self) -> [(&'static str, u64); 9] {
        [
            ("client.pool_control", self.pool_control.into()),
            ("client.pool_telemetry", self.pool_telemetry.into()),
            ("client.retry_attempts", self.retry_attempts.into()),
            ("client.retry_backoff_ms", self.retry_backoff_ms),
            ("client.retry_backoff_max_ms", self.retry_backoff_max_ms),
            ("client.heartbeat_s", self.heartbeat_s.into()),
            ("client.tail_poll_ms", self.tail_poll_ms),
            ("client.deadline_ms", self.deadline_ms),
            ("client.trace_max_bytes", self.trace_max_bytes),
        ]
    }
}

/// What a manifest that says nothing of it means.
impl Default for Client {
    fn default() -> Client {
        let number = |key| match find(key).map(|key| key.absent) {
            Some(Absent::Int(n)) => n.unsigned_abs(),
            _ => 0,
        };
        let small = |key| u32::try_from(number(key)).unwrap_or(u32::MAX);
        Client {
            pool_control: small("client.pool_control"),
            pool_telemetry: small("client.pool_telemetry"),
            retry_attempts: small("client.retry_attempts"),
            retry_backoff_ms: number("client.retry_backoff_ms"),
            retry_backoff_max_ms: number("client.retry_backoff_max_ms"),
            heartbeat_s: small("client.heartbeat_s"),
            tail_poll_ms: number("client.tail_poll_ms"),
            deadline_ms: number("client.deadline_ms"),
            trace_max_bytes: number("client.trace_max_bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ClientConfig {
        let (hive, manifest) = ("dev".to_string(), "ab".repeat(32));
        ClientConfig { hive, manifest, msize: 8192, client: Client::default() }
    }

    #[test]
    fn the_defaults_are_those_of_the_keys_and_within_their_bounds() {
        assert_eq!(
            Client::default().numbers().map(|(_, n)| n),
            [2, 4, 3, 200, 2000, 15, 1000, 10_000, 1 << 20]
        );
        assert_eq!(ClientConfig::parse(&config().text()), Ok(config()));
    }

    #[test]
    fn what_no_hive_would_write_is_refused_with_its_key() {
        let text = config().text();
        let refused = |from, to| ClientConfig::parse(&text.replace(from, to)).unwrap_err();
        let attempts = refused("retry_attempts = 3", "retry_attempts = 11");
        assert_eq!(attempts, "client.retry_attempts: 11 found; 1 to 10 is allowed");
        assert!(refused("msize", "frog").contains("frog"));
        assert!(ClientConfig::parse("").is_err());
    }
}
