//! The machine's address: told, or asked for (RFC 2131).

use smoltcp::iface::Interface;
use smoltcp::socket::dhcpv4;
use smoltcp::wire::{IpCidr, Ipv4Address, Ipv4Cidr};

/// Takes the address that the network gave, or has taken back.
pub(crate) fn take(interface: &mut Interface, socket: &mut dhcpv4::Socket<'_>) {
    match socket.poll() {
        None => {}
        Some(dhcpv4::Event::Configured(config)) => {
            set(interface, config.address);
            set_gateway(interface, config.router);
        }
        Some(dhcpv4::Event::Deconfigured) => {
            interface.update_ip_addrs(|addresses| addresses.clear());
            set_gateway(interface, None);
        }
    }
}

/// The machine is reached under this address, and no other.
pub(crate) fn set(interface: &mut Interface, address: Ipv4Cidr) {
    interface.update_ip_addrs(|addresses| {
        addresses.clear();
        let _ = addresses.push(IpCidr::Ipv4(address));
    });
}

/// The way to other networks.
pub(crate) fn set_gateway(interface: &mut Interface, gateway: Option<Ipv4Address>) {
    match gateway {
        // There is room for the one.
        Some(gateway) => drop(interface.routes_mut().add_default_ipv4_route(gateway)),
        None => drop(interface.routes_mut().remove_default_ipv4_route()),
    }
}
