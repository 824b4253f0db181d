//! cohticket: mint, narrow, seal, show and revoke tickets (spec 3.3). All but minting and revoking
//! need neither key nor hive.
#![forbid(unsafe_code)]

mod issuer;
mod parse;
mod show;

use clap::{Args, Parser, Subcommand};
use cohcmd::serde_json::json;
use cohcmd::{HiveArgs, Out, Trouble};
use std::io::Read;
use std::process::ExitCode;
use ticket::{Attenuation, Budget, Claims, Quota, Role, Token};
use zeroize::Zeroizing;

/// Mints, narrows, seals, shows and revokes tickets
#[derive(Parser)]
#[command(name = "cohticket", version)]
struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a ticket with the hive's issuer key
    Mint(Mint),
    /// Make a ticket that may do less, offline
    Narrow(Narrow),
    /// Make a ticket that cannot be narrowed any more
    Seal {
        /// The ticket; - reads it from standard input [$COH_TICKET]
        ticket: Option<String>,
    },
    /// Print what a ticket claims, never its proof
    Show {
        /// The ticket; - reads it from standard input [$COH_TICKET]
        ticket: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a ticket for good
    Revoke {
        /// Its id, as show prints it
        id: String,
        #[command(flatten)]
        hive: HiveArgs,
    },
}

/// What may be given away: the same words for mint and narrow.
#[derive(Args)]
struct Limits {
    /// How long it is good: 90s, 5m, 1h, 7d
    #[arg(long, value_name = "TIME", value_parser = cohcmd::duration_ms)]
    ttl: Option<u64>,
    /// A part of the name space, r, w or rw, and requests a second: /proc:r or /queen/ctl:rw:10
    #[arg(long = "scope", value_name = "PATH:VERBS[:RATE]", value_parser = parse::scope)]
    scopes: Vec<ticket::Scope>,
    /// Requests it may make
    #[arg(long, value_name = "N")]
    ops: Option<u64>,
    /// Records that a worker may write
    #[arg(long, value_name = "N")]
    ticks: Option<u64>,
    /// Seconds from its first use
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    ttl_s: Option<u64>,
    /// Bytes it may move
    #[arg(long, value_name = "BYTES")]
    bandwidth: Option<u64>,
    /// Cursors it may take up again
    #[arg(long, value_name = "N")]
    cursor_resumes: Option<u64>,
    /// Cursors it may move on
    #[arg(long, value_name = "N")]
    cursor_advances: Option<u64>,
}

#[derive(Args)]
struct Mint {
    /// queen, observer, worker-heartbeat, worker-gpu, worker-bus or worker-lora
    #[arg(long)]
    role: Role,
    /// Whose; workers have one
    #[arg(long)]
    subject: Option<String>,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    from: issuer::From,
}

#[derive(Args)]
struct Narrow {
    /// The ticket; - reads it from standard input [$COH_TICKET]
    ticket: Option<String>,
    /// observer, where the ticket is a queen's
    #[arg(long)]
    role: Option<Role>,
    /// For people
    #[arg(long)]
    note: Option<String>,
    #[command(flatten)]
    limits: Limits,
}

/// A ticket without `--ttl` is good for this long.
const TTL_MS: u64 = 3600 * 1000;

impl Limits {
    fn budget(&self) -> Budget {
        Budget { ticks: self.ticks, ops: self.ops, ttl_s: self.ttl_s }
    }

    fn quota(&self) -> Quota {
        Quota {
            bandwidth_bytes: self.bandwidth,
            cursor_resumes: self.cursor_resumes,
            cursor_advances: self.cursor_advances,
        }
    }
}

fn main() -> ExitCode {
    cohcmd::main(|options: Options, out: &mut Out| match options.verb {
        Verb::Mint(mint) => out.line(&*minted(&mint)?.reveal()),
        Verb::Narrow(narrow) => out.line(&*narrowed(&narrow)?.reveal()),
        Verb::Seal { ticket } => out.line(&*read(ticket.as_deref())?.seal().map_err(said)?.reveal()),
        Verb::Show { ticket, json } => show::show(&read(ticket.as_deref())?, json, out),
        Verb::Revoke { id, hive } => {
            let command = json!({"revoke": id}).to_string();
            hive.find()?.write_lines("/queen/ctl", std::iter::once(Ok(command)), |ack| out.line(ack))
        }
    })
}

fn said(error: ticket::TicketError) -> Trouble {
    Trouble::failed(error.to_string())
}

fn minted(mint: &Mint) -> Result<Token, Trouble> {
    let issuer = mint.from.find()?;
    let now_ms = cohcmd::now_ms();
    let claims = Claims {
        hive: issuer.hive,
        id: random()?,
        role: mint.role,
        subject: mint.subject.clone().unwrap_or_default(),
        issued_ms: now_ms,
        expires_ms: now_ms.saturating_add(mint.limits.ttl.unwrap_or(TTL_MS)),
        budget: mint.limits.budget(),
        scopes: mint.limits.scopes.clone(),
        quota: mint.limits.quota(),
    };
    if claims.role.is_worker() && claims.subject.is_empty() {
        return Err(Trouble::Usage(format!("a ticket for {} names a --subject", claims.role.as_str())));
    }
    ticket::mint(&claims, &issuer.key, random()?, &issuer.bounds).map_err(said)
}

fn narrowed(narrow: &Narrow) -> Result<Token, Trouble> {
    let limits = &narrow.limits;
    let less = Attenuation {
        expires_ms: limits.ttl.map(|ttl_ms| cohcmd::now_ms().saturating_add(ttl_ms)),
        scopes: (!limits.scopes.is_empty()).then(|| limits.scopes.clone()),
        budget: (limits.budget() != Budget::default()).then(|| limits.budget()),
        quota: (limits.quota() != Quota::default()).then(|| limits.quota()),
        role: narrow.role,
        note: narrow.note.clone(),
    };
    read(narrow.ticket.as_deref())?.narrow(&less, random()?).map_err(said)
}

/// A ticket of the command line, where others can see it; of standard input or the environment, where not.
fn read(argument: Option<&str>) -> Result<Token, Trouble> {
    let mut text = Zeroizing::new(String::new());
    match argument {
        Some("-") => {
            let most = ticket::MAX_LEN as u64 + 2;
            std::io::stdin()
                .take(most)
                .read_to_string(&mut text)
                .map_err(|error| Trouble::failed(format!("standard input: {error}")))?;
        }
        Some(argument) => text.push_str(argument),
        None => {
            let shown = std::env::var("COH_TICKET");
            *text = shown.map_err(|_| Trouble::Usage("name a ticket or -, or set COH_TICKET".into()))?;
        }
    }
    Token::parse(text.trim()).map_err(said)
}

fn random<const N: usize>() -> Result<[u8; N], Trouble> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Trouble::failed(format!("no randomness: {error}")))?;
    Ok(bytes)
}
