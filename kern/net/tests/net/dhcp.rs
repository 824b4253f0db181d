//! A machine that asks for its address.

use std::time::Duration;

use net::Address;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use crate::bench::{Bench, NINEP, OURS, THEIRS, settings};

const LEASE_S: u32 = 600;

/// What a server says to a frame, if that asks for an address.
fn serve(frame: &[u8]) -> Option<Vec<u8>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    if packet.next_header() != IpProtocol::Udp || datagram.dst_port() != 67 {
        return None;
    }
    let asked = DhcpPacket::new_checked(datagram.payload()).ok()?;
    let asked = DhcpRepr::parse(&asked).ok()?;
    let message_type = match asked.message_type {
        DhcpMessageType::Discover => DhcpMessageType::Offer,
        DhcpMessageType::Request => DhcpMessageType::Ack,
        _ => return None,
    };
    let server = Ipv4Address::from(THEIRS);
    let said = DhcpRepr {
        message_type,
        your_ip: Ipv4Address::from(OURS),
        server_ip: server,
        server_identifier: Some(server),
        subnet_mask: Some(Ipv4Address::new(255, 255, 255, 0)),
        router: Some(server),
        lease_duration: Some(LEASE_S),
        parameter_request_list: None,
        requested_ip: None,
        max_size: None,
        client_identifier: None,
        dns_servers: None,
        ..asked
    };
    let udp = UdpRepr { src_port: 67, dst_port: 68 };
    let ip = Ipv4Repr {
        src_addr: server,
        dst_addr: Ipv4Address::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: 8 + said.buffer_len(),
        hop_limit: 64,
    };
    let mut out = vec![0; 14 + 20 + 8 + said.buffer_len()];
    let mut ethernet = EthernetFrame::new_unchecked(&mut out);
    EthernetRepr {
        src_addr: EthernetAddress([2, 0, 0, 0, 0, 2]),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Ipv4,
    }
    .emit(&mut ethernet);
    let checks = ChecksumCapabilities::default();
    let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
    ip.emit(&mut packet, &checks);
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    let (from, to) = (server.into(), Ipv4Address::BROADCAST.into());
    let emit = |payload: &mut [u8]| said.emit(&mut DhcpPacket::new_unchecked(payload)).unwrap();
    udp.emit(&mut datagram, &from, &to, said.buffer_len(), emit, &checks);
    Some(out)
}

#[test]
fn it_takes_the_address_that_it_is_given_and_loses_it_with_the_lease() {
    let mut bench = Bench::with(net::Settings { address: Address::Dhcp, ..settings() });
    assert_eq!(bench.net.address(), None);
    bench.until("an address", |bench| {
        let answers: Vec<_> =
            bench.client.port.nic().incoming.borrow().iter().filter_map(|frame| serve(frame)).collect();
        bench.port.nic().incoming.borrow_mut().extend(answers);
        bench.net.address().is_some()
    });
    assert_eq!(bench.net.address(), Some(OURS));
    let handle = bench.connected(NINEP);
    bench.echo(handle, b"reached");
    // Nobody renews it.
    let lease_ms = Duration::from_secs(LEASE_S.into()).as_millis() as u64;
    let end_ms = bench.now_ms + lease_ms + 1000;
    while bench.now_ms < end_ms {
        bench.now_ms += 999;
        bench.turn();
        bench.client.port.nic().incoming.borrow_mut().clear();
    }
    assert_eq!(bench.net.address(), None);
}
