//! Connections that behave.

use chan::mux::{Listener, Peer};
use smoltcp::socket::tcp::State;

use crate::bench::{Bench, CONSOLE, NINEP, THEIRS, settings};

#[test]
fn each_port_goes_to_its_process_with_who_is_there() {
    let mut bench = Bench::new();
    let (ninep, console) = (bench.connected(NINEP), bench.connected(CONSOLE));
    bench.echo(ninep, b"Tversion");
    bench.echo(console, b"ping");
    let peer = |port| Some(Peer { address: THEIRS, port });
    let of = |bench: &Bench, link: usize| {
        let stream = bench.echoes[link].streams.values().next().unwrap();
        (stream.listener, stream.peer, stream.received.clone())
    };
    assert_eq!(of(&bench, 0), (Some(Listener::Ninep), peer(40_001), b"Tversion".to_vec()));
    assert_eq!(of(&bench, 1), (Some(Listener::Console), peer(40_002), b"ping".to_vec()));
    let stats = bench.net.stats(&bench.port);
    assert_eq!((stats.accepted, stats.sessions, stats.half_open), (2, 2, 0));
    let other = bench.connect(80);
    bench.until("refused", |bench| bench.socket(other).state() == State::Closed);
}

#[test]
fn much_goes_through_small_buffers() {
    let mut bench = Bench::new();
    let handle = bench.connected(NINEP);
    let data: Vec<u8> = (0..300_000u32).map(|n| (n * 7 / 8) as u8).collect();
    bench.echo(handle, &data);
}

#[test]
fn two_hundred_are_served_and_one_more_is_refused() {
    let mut bench = Bench::new();
    let all: Vec<_> = (0..200).map(|n| bench.connected(if n % 5 == 0 { CONSOLE } else { NINEP })).collect();
    for (n, handle) in all.iter().enumerate() {
        bench.echo(*handle, format!("I am {n}").as_bytes());
    }
    assert_eq!(bench.net.stats(&bench.port).sessions, 200);
    let more = bench.connect(NINEP);
    bench.until("refused", |bench| bench.socket(more).state() == State::Closed);
    assert_eq!(bench.net.stats(&bench.port).refused, 1);
    // One goes, one comes.
    bench.socket(all[7]).close();
    bench.until("gone", |bench| bench.net.stats(&bench.port).sessions == 199);
    let handle = bench.connected(NINEP);
    bench.echo(handle, b"here now");
    for round in 0..3 {
        for handle in &all[100..] {
            bench.echo(*handle, format!("round {round}").as_bytes());
        }
    }
}

#[test]
fn a_client_that_has_said_all_is_answered_and_then_it_is_over() {
    let mut bench = Bench::new();
    let handle = bench.connected(CONSOLE);
    bench.socket(handle).send_slice(&[7; 2000]).unwrap();
    bench.socket(handle).close();
    let mut got = 0;
    bench.until("all of the answer, then the end", |bench| {
        let socket = bench.socket(handle);
        while socket.can_recv() {
            got += socket.recv_slice(&mut [0; 512]).unwrap();
        }
        matches!(socket.state(), State::TimeWait | State::Closed)
    });
    assert_eq!(got, 2000);
    bench.until("free", |bench| bench.net.stats(&bench.port).sessions == 0);
}

#[test]
fn what_the_process_ends_is_delivered_and_ended() {
    let mut bench = Bench::new();
    let handle = bench.connected(NINEP);
    bench.echo(handle, b"hello");
    bench.socket(handle).send_slice(b"last words").unwrap();
    bench.until("arrived", |bench| {
        bench.echoes[0].streams.values().any(|stream| stream.received.ends_with(b"words"))
    });
    let conn = *bench.echoes[0].streams.keys().next().unwrap();
    bench.echoes[0].close(conn);
    bench.until("ended", |bench| bench.socket(handle).state() == State::CloseWait);
    let mut out = [0; 64];
    let count = bench.socket(handle).recv_slice(&mut out).unwrap_or(0);
    assert_eq!(&out[..count], b"last words");
    bench.socket(handle).close();
    bench.until("free", |bench| bench.net.stats(&bench.port).sessions == 0);
    let handle = bench.connected(NINEP);
    bench.echo(handle, b"again");
}

#[test]
fn a_client_that_resets_is_told_to_the_process() {
    let mut bench = Bench::new();
    let handle = bench.connected(NINEP);
    bench.echo(handle, b"hello");
    bench.socket(handle).abort();
    bench.until("told", |bench| bench.echoes[0].closed == 1);
    assert!(bench.echoes[0].streams.is_empty());
}

#[test]
fn a_process_that_goes_away_resets_its_own_clients_only() {
    let mut bench = Bench::new();
    let (ninep, console) = (bench.connected(NINEP), bench.connected(CONSOLE));
    bench.echo(ninep, b"hello");
    bench.links[0].restart(false);
    bench.until("reset", |bench| bench.socket(ninep).state() == State::Closed);
    bench.echo(console, b"still here");
    let early = bench.connect(NINEP);
    bench.until("refused while it is away", |bench| bench.socket(early).state() == State::Closed);
    let mut fresh = Bench::new();
    std::mem::swap(&mut bench.links[0], &mut fresh.links[0]);
    std::mem::swap(&mut bench.echoes[0], &mut fresh.echoes[0]);
    let late = bench.connected(NINEP);
    bench.echo(late, b"welcome back");
    bench.echo(console, b"still here");
}

#[test]
fn an_idle_network_wants_no_turn_but_those_that_ask_who_is_there() {
    let mut bench = Bench::new();
    for _ in 0..10 {
        bench.turn();
    }
    assert_eq!(bench.next_ms, None);
    let handle = bench.connected(NINEP);
    bench.echo(handle, b"hello");
    for _ in 0..100 {
        bench.turn();
    }
    assert!(bench.next_ms.unwrap() > bench.now_ms + 50_000, "{:?} {}", bench.next_ms, bench.now_ms);
}

#[test]
fn a_client_that_is_gone_without_a_word_is_found_out() {
    let mut bench = Bench::with(settings());
    let handle = bench.connected(NINEP);
    bench.echo(handle, b"hello");
    // Its machine is dead: nothing of it answers.
    for _ in 0..10 {
        let due_ms = bench.next_ms.unwrap_or(bench.now_ms + 1000);
        bench.now_ms = due_ms.max(bench.now_ms + 1);
        bench.client.port.nic().incoming.borrow_mut().clear();
        bench.next_ms = bench.net.poll(bench.now_ms, &mut bench.port, &mut bench.links);
        bench.echoes[0].turn();
    }
    for _ in 0..400 {
        bench.now_ms += 1000;
        bench.client.port.nic().incoming.borrow_mut().clear();
        bench.next_ms = bench.net.poll(bench.now_ms, &mut bench.port, &mut bench.links);
        bench.echoes[0].turn();
    }
    assert_eq!((bench.net.stats(&bench.port).sessions, bench.echoes[0].closed), (0, 1));
}
