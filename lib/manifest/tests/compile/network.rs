//! The network of an image.
#![allow(clippy::expect_used)] // A test fails by panicking.

use manifest::{Manifest, NetworkMode, Nic, Service};

use crate::house::{House, SMALL};

const IMAGE: &str = "target = \"qemu-virt\"\n";
const TCP: &str = "[[listeners]]\nkind = \"tcp\"\naddr = \"0.0.0.0!5640\"\n\
    [[listeners]]\nkind = \"tcp\"\naddr = \"0.0.0.0!5641\"\nfids = \"reuse\"\n\
    [servers.console]\n[console]\ntcp = \"0.0.0.0!31337\"\n";

fn house(section: &str) -> House {
    let text = SMALL.replace("schema = 1\n", &format!("schema = 1\n{IMAGE}"));
    House::new().write("sys/hive.toml", &format!("{text}{TCP}[network]\n{section}"))
}

fn manifest(section: &str) -> Manifest {
    house(section).compile().expect("it compiles").manifest
}

#[test]
fn an_image_asks_for_its_address_or_is_told() {
    let asks = manifest("mode = \"dhcp\"\n").network;
    assert_eq!(
        (asks.mode, asks.nic, asks.address(), asks.sessions),
        (NetworkMode::Dhcp, Nic::VirtioNet, None, 200)
    );
    let told = "mode = \"static\"\nnic = \"rtl8139\"\naddress = \"10.0.2.15/24\"\ngateway = \"10.0.2.2\"\n";
    let told = manifest(told).network;
    assert_eq!((told.address(), told.gateway()), (Some(([10, 0, 2, 15], 24)), Some([10, 0, 2, 2])));
    assert_eq!(told.nic.word(), "rtl8139");
}

#[test]
fn each_port_is_of_who_serves_it() {
    let ports: Vec<_> = manifest("mode = \"dhcp\"\n").ports().collect();
    assert_eq!(ports, [(Service::Console, 31337), (Service::Ninep, 5640), (Service::Compat, 5641)]);
}

#[test]
#[rustfmt::skip]
fn what_is_no_network_is_refused() {
    for (section, what) in [
        ("mode = \"static\"\n", "network.address: missing; static needs ADDRESS/BITS"),
        ("mode = \"static\"\naddress = \"10.0.2.15\"\n", "network.address: not an IPv4 address; 10.0.2.15/24 and 10.0.2.2 are of the form"),
        ("mode = \"static\"\naddress = \"10.0.2.256/24\"\n", "network.address: not an IPv4 address; 10.0.2.15/24 and 10.0.2.2 are of the form"),
        ("mode = \"dhcp\"\ngateway = \"10.0.2.2\"\n", "network.gateway: found beside dhcp, which finds it out"),
        ("mode = \"dhcp\"\nsend_bytes = 65535\n", "network.memory_kib: 16384 found; 21919 needed for that many connections"),
        ("mode = \"dhcp\"\n[[listeners]]\nkind = \"tls\"\naddr = \"0.0.0.0!5642\"\ncert = \"file:/a\"\nkey = \"file:/b\"\n", "listeners[3].kind: tls found; an image has no TLS: tcp allowed"),
    ] {
        assert_eq!(house(section).says(), format!("sys/hive.toml:N: {what}"));
    }
    let hosted = House::new().append("sys/hive.toml", "\n[network]\nmode = \"dhcp\"\n").says();
    assert_eq!(hosted, "sys/hive.toml:N: network.mode: found; a hosted hive has its machine's network: off allowed");
}
