//! Clients, processes and cards that do not behave.

use hal::Fault;
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Address, Ipv4Packet,
    Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use crate::bench::{Bench, NINEP, OURS};

/// A client at any address asks for a connection.
fn syn(from: u32, port: u16) -> Vec<u8> {
    let address = Ipv4Address::from(0x0a00_0000 | (3 + from % 250));
    let tcp = TcpRepr {
        src_port: 1024 + (from % 60_000) as u16,
        dst_port: port,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(from as i32),
        ack_number: None,
        window_len: 1024,
        window_scale: None,
        max_seg_size: Some(1460),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let ip = Ipv4Repr {
        src_addr: address,
        dst_addr: Ipv4Address::from(OURS),
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress([2, 0, 0, 0, 1, from as u8]),
        dst_addr: EthernetAddress([2, 0, 0, 0, 0, 1]),
        ethertype: EthernetProtocol::Ipv4,
    };
    let mut out = vec![0; 14 + ip.buffer_len() + tcp.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut out);
    ethernet.emit(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    let checks = ChecksumCapabilities::default();
    ip.emit(&mut packet, &checks);
    let mut segment = TcpPacket::new_unchecked(packet.payload_mut());
    tcp.emit(&mut segment, &address.into(), &Ipv4Address::from(OURS).into(), &checks);
    out
}

fn inject(bench: &mut Bench, frame: Vec<u8>) {
    bench.port.nic().incoming.borrow_mut().push_back(frame);
}

#[test]
fn a_flood_of_half_open_connections_is_bounded_and_a_client_gets_in() {
    let mut bench = Bench::new();
    let before = bench.connected(NINEP);
    let mut late = None;
    for round in 0..600u32 {
        for n in 0..20 {
            inject(&mut bench, syn(round * 20 + n, NINEP));
        }
        bench.turn();
        let stats = bench.net.stats(&bench.port);
        assert!(stats.half_open <= 32, "{stats:?}");
        if round == 200 {
            late = Some(bench.connect(NINEP));
        }
        if round % 50 == 0 {
            bench.echo(before, b"still served");
        }
    }
    let late = late.unwrap();
    // What the flood crowded out, the client's machine asks again.
    bench.until("in", |bench| bench.socket(late).may_send());
    bench.echo(late, b"after all");
    bench.echo(before, b"never disturbed");
    let stats = bench.net.stats(&bench.port);
    assert!(stats.half_open_dropped > 0 && stats.syn_dropped > 0, "{stats:?}");
    for _ in 0..6000 {
        bench.turn();
    }
    assert_eq!(bench.net.stats(&bench.port).half_open, 0, "the others were aged out");
}

#[test]
fn a_half_open_connection_that_is_reset_is_free_at_once() {
    let mut bench = Bench::new();
    bench.turn();
    let asks = syn(1, NINEP);
    let mut resets = asks.clone();
    // The same client, with the sequence number that is next, and the reset flag for the request's.
    let rst = TcpRepr {
        src_port: 1025,
        dst_port: NINEP,
        control: TcpControl::Rst,
        seq_number: TcpSeqNumber(2),
        ack_number: None,
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    resets.truncate(14 + 20 + rst.buffer_len());
    {
        let mut packet = Ipv4Packet::new_unchecked(&mut resets[14..]);
        packet.set_total_len(40);
        packet.fill_checksum();
        let mut segment = TcpPacket::new_unchecked(packet.payload_mut());
        let from = Ipv4Address::from(0x0a00_0004);
        rst.emit(
            &mut segment,
            &from.into(),
            &Ipv4Address::from(OURS).into(),
            &ChecksumCapabilities::default(),
        );
    }
    inject(&mut bench, asks);
    bench.turn();
    assert_eq!(bench.net.stats(&bench.port).half_open, 1);
    inject(&mut bench, resets);
    bench.turn();
    assert_eq!(bench.net.stats(&bench.port).half_open, 0);
}

#[test]
fn a_client_that_does_not_read_holds_up_no_other() {
    let mut bench = Bench::new();
    let (slow, other) = (bench.connected(NINEP), bench.connected(NINEP));
    let mut asked = 0;
    for round in 0..2000 {
        let socket = bench.socket(slow);
        if socket.can_send() {
            asked += socket.send_slice(&[1; 512]).unwrap();
        }
        bench.turn();
        if round % 100 == 0 {
            bench.echo(other, b"prompt");
        }
    }
    // All that lies anywhere: its own buffers, ours, and what the process was let send.
    assert!(asked < 64 << 10, "{asked} bytes were taken of a client that reads nothing");
    let mut got = 0;
    bench.until("all of it, once it reads", |bench| {
        let socket = bench.socket(slow);
        while socket.can_recv() {
            got += socket.recv_slice(&mut [0; 2048]).unwrap();
        }
        got == asked
    });
}

#[test]
fn a_process_that_takes_nothing_holds_up_no_other() {
    let mut bench = Bench::new();
    let (stuck, other) = (bench.connected(NINEP), bench.connected(super::bench::CONSOLE));
    bench.echoes[0].is_stuck = true;
    for _ in 0..500 {
        let socket = bench.socket(stuck);
        if socket.can_send() {
            socket.send_slice(&[1; 512]).unwrap();
        }
        bench.turn();
    }
    bench.echo(other, b"prompt");
    bench.echoes[0].is_stuck = false;
    bench.until("it goes on", |bench| bench.socket(stuck).send_queue() == 0);
}

#[test]
fn a_process_that_breaks_the_channel_loses_its_clients_and_nothing_else() {
    let mut bench = Bench::new();
    let (victim, other) = (bench.connected(NINEP), bench.connected(super::bench::CONSOLE));
    bench.echoes[0].is_stuck = true;
    bench.echoes[0].pipe.0.write(&[9; 64]).unwrap();
    bench.until("reset", |bench| bench.socket(victim).state() == State::Closed);
    assert!(bench.links[0].broken().is_some());
    bench.echo(other, b"prompt");
}

#[test]
fn a_card_that_lies_is_reset_and_connections_go_on() {
    let mut bench = Bench::new();
    let handle = bench.connected(NINEP);
    for round in 0..5 {
        bench.echo(handle, b"before");
        *bench.port.nic().fault.borrow_mut() = Some(Fault::Lied);
        bench.echo(handle, b"and after, once it was sent again");
        assert_eq!(bench.net.stats(&bench.port).resets, round + 1);
    }
}

#[test]
fn ten_thousand_malformed_frames_change_nothing() {
    let mut bench = Bench::new();
    let handle = bench.connected(NINEP);
    bench.echo(handle, b"before");
    // Frames of a real conversation, each with something wrong, and noise.
    let mut seen = vec![syn(9, NINEP)];
    bench.socket(handle).send_slice(b"seen on the wire").unwrap();
    for _ in 0..20 {
        bench.turn();
        seen.extend(bench.port.nic().incoming.borrow().iter().cloned());
        seen.extend(bench.client.port.nic().incoming.borrow().iter().cloned());
    }
    bench.until("echoed", |bench| bench.socket(handle).recv_queue() == 16);
    bench.socket(handle).recv_slice(&mut [0; 16]).unwrap();
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    for n in 0..10_000 {
        let mut frame = match n % 4 {
            0 => (0..14 + next() % 1500).map(|_| next() as u8).collect(),
            _ => seen[next() % seen.len()].clone(),
        };
        // A checksum must not match what was changed: what is spoilt lies behind the addresses.
        let at = 14 + next() % (frame.len() - 14).max(1);
        if let Some(byte) = frame.get_mut(at) {
            *byte ^= 1 << (next() % 8);
        }
        if n % 5 == 0 {
            frame.truncate(next() % frame.len());
        }
        inject(&mut bench, frame);
        if n % 50 == 0 {
            bench.turn();
        }
    }
    bench.turn();
    assert!(bench.net.stats(&bench.port).received > 10_000);
    bench.echo(handle, b"after");
    let late = bench.connected(NINEP);
    bench.echo(late, b"and anew");
}

#[test]
fn a_turn_takes_so_many_frames_and_asks_for_another() {
    let mut bench = Bench::new();
    bench.turn();
    for n in 0..1000 {
        inject(&mut bench, vec![n as u8; 60]);
    }
    bench.turn();
    assert_eq!(bench.port.nic().incoming.borrow().len(), 1000 - 64);
    assert_eq!(bench.next_ms, Some(bench.now_ms));
}

proptest! {
    /// Whatever comes, a turn ends and the next client is served.
    #[test]
    fn any_frames_are_survived(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..100)) {
        let mut bench = Bench::new();
        for mut frame in frames {
            if frame.len() > 14 {
                // So that it gets further than the card's own address.
                frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
                let kind = if frame[13] % 2 == 0 { [8, 0] } else { [8, 6] };
                frame[12..14].copy_from_slice(&kind);
            }
            inject(&mut bench, frame);
        }
        bench.turn();
        let handle = bench.connected(NINEP);
        bench.echo(handle, b"served");
    }
}
