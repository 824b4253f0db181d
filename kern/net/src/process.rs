//! The process: its card, its channels, and the loop.
// The card's registers are taken by address.
#![allow(unsafe_code)]

use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt::{self, Write as _};

use chan::mux::Listener;
use device::{Granted, Lines};
use drivers::pci::Pci;
use drivers::{Rtl8139, VIRTIO_WINDOW, VirtioNet, rtl8139};
use hal::{Fault, Mmio, Nic};
use manifest::{Manifest, NetworkMode, Service};
use task::config::{Device, Role};
use task::{Many, place};

use crate::log::Log;
use crate::{Address, Link, Net, Port, Settings, is_ninep};

/// Where the card's registers go on the PCI bus: the place of which the root task mapped the first page.
const PCI_REGISTERS: u32 = 0x1000_0000;

/// The process's main function.
pub fn main() -> ! {
    let Ok(manifest) = Manifest::from_cbor(task::manifest()) else {
        task::fail(format_args!("the manifest is none that this build reads"))
    };
    let settings = settings(&manifest);
    let Some(granted) = device::take() else { task::fail(format_args!("it was given no card")) };
    let Granted { kind, registers, pci, memory, mut lines } = granted;
    let said = match (kind, pci) {
        (Device::Rtl8139, Some(pci)) => {
            // SAFETY: the root task mapped this page of registers for this process alone.
            let registers = unsafe { Mmio::new(registers, place::PAGE as usize) };
            place_card(pci)
                .and_then(|()| Rtl8139::new(registers, memory))
                .map(|card| run(card, kind, settings, &mut lines))
        }
        _ => {
            // SAFETY: as above; the card is the first of the virtio devices on the page.
            let registers = unsafe { Mmio::new(registers, VIRTIO_WINDOW) };
            VirtioNet::new(registers, memory).map(|card| run(card, kind, settings, &mut lines))
        }
    };
    let Err(fault) = said;
    let mut log = Log::find();
    log.say(format_args!("{} {fault}", word(kind)));
    log.say(format_args!("ready"));
    loop {
        log.turn(|out| out.push_str("counts card=none\n"));
        task::sleep(None);
    }
}

/// Gives the card on the PCI bus its place.
fn place_card(pci: Mmio) -> Result<(), Fault> {
    let mut pci = Pci::new(pci);
    let card = pci.find(rtl8139::ID.0, rtl8139::ID.1)?;
    pci.place(card, PCI_REGISTERS, place::PAGE as u32).map(drop)
}

fn word(device: Device) -> &'static str {
    match device {
        Device::Rtl8139 => "rtl8139",
        _ => "virtio-net",
    }
}

fn settings(manifest: &Manifest) -> Settings {
    let network = &manifest.network;
    let told = network.address().filter(|_| network.mode == NetworkMode::Static);
    let address = told.map_or(Address::Dhcp, |(address, prefix)| Address::Static {
        address,
        prefix,
        gateway: network.gateway(),
    });
    let ports = manifest.ports().map(|(service, port)| {
        let listener = match service {
            Service::Console => Listener::Console,
            Service::Ninep => Listener::Ninep,
            Service::Compat => Listener::Compat,
        };
        (listener, port)
    });
    let [a, b, c, d, e, f, g, h, ..] = task::config().seed;
    Settings {
        address,
        ports: ports.collect(),
        sessions: network.sessions as usize,
        half_open: network.half_open as usize,
        half_open_ms: u64::from(network.half_open_s) * 1000,
        receive_bytes: network.receive_bytes as usize,
        send_bytes: network.send_bytes as usize,
        seed: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
    }
}

/// A channel to a process that serves clients.
struct Wired {
    /// Its number among this process's channels.
    channel: usize,
    conversation: Option<u32>,
    is_accused: bool,
}

fn links() -> (Vec<Link<Many>>, Vec<Wired>) {
    let all = task::channels().enumerate();
    all.filter(|(_, (wire, _))| wire.role == Role::Offer)
        .map(|(channel, (wire, end))| {
            let takes = if wire.peer.as_str() == "console" { is_console } else { is_ninep };
            let wired = Wired { channel, conversation: None, is_accused: false };
            (Link::new(Many::new(end), takes), wired)
        })
        .unzip()
}

fn is_console(listener: Listener) -> bool {
    !is_ninep(listener)
}

fn run(card: impl Nic, kind: Device, settings: Settings, lines: &mut Lines) -> Infallible {
    let mut port = Port::new(card);
    let ports = settings.ports.clone();
    let mut net = Net::new(settings, &mut port, task::now_ms());
    let (mut links, mut wired) = links();
    let mut log = Log::find();
    let mut has_said = false;
    loop {
        for (link, wired) in links.iter_mut().zip(&mut wired) {
            let now = link.pipe.conversation();
            if now != wired.conversation {
                wired.conversation = now;
                wired.is_accused = false;
                link.restart(now.is_some());
            }
        }
        let next_ms = net.poll(task::now_ms(), &mut port, &mut links);
        for (link, wired) in links.iter_mut().zip(&mut wired) {
            link.pipe.ring();
            if link.broken().is_some() && !wired.is_accused {
                wired.is_accused = true;
                task::accuse(wired.channel);
            }
        }
        if !has_said && let Some(address) = net.address() {
            has_said = true;
            log.say(format_args!("{} mac={} ip={}", word(kind), Mac(port.nic().mac()), Ip(address)));
            // A port that has no channel behind it is not there.
            for (listener, number) in
                ports.iter().filter(|(kind, _)| links.iter().any(|link| link.serves(*kind)))
            {
                log.say(format_args!("listen {} {number}", name(*listener)));
            }
            log.say(format_args!("ready"));
        }
        log.turn(|out| {
            let stats = net.stats(&port);
            let (cleaned, invalidated) = device::hand_overs();
            // Writing to a string does not fail.
            let _ = writeln!(out, "counts {stats} cleaned={cleaned} invalidated={invalidated}");
        });
        if next_ms.is_some_and(|next_ms| next_ms <= task::now_ms()) {
            continue;
        }
        let came = task::sleep_with_device(next_ms);
        if came != 0 {
            port.interrupted();
            lines.rearm(came);
        }
    }
}

fn name(listener: Listener) -> &'static str {
    match listener {
        Listener::Console => "console",
        Listener::Ninep => "9p",
        Listener::Compat => "compat",
    }
}

struct Mac([u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

struct Ip([u8; 4]);

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a}.{b}.{c}.{d}")
    }
}
