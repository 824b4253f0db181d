//! What a server may say to a client that dials it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use ninep::dial::{Addr, Conn, Credentials, DialError};
use ninep::wire::{NOTAG, Rmsg, VERSION};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

#[test]
fn an_msize_without_room_for_data_is_refused() {
    for msize in [0, 10, 22, 255, 8193] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("door");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 21];
            stream.read_exact(&mut asked).unwrap();
            let mut reply = Vec::new();
            Rmsg::Version { msize, version: VERSION }.encode(NOTAG, &mut reply);
            stream.write_all(&reply).unwrap();
        });
        match Conn::dial(&Addr::Unix(path), &Credentials::default()) {
            Err(DialError::Protocol(what)) => assert!(what.contains(&msize.to_string()), "{what}"),
            Err(other) => panic!("{msize}: {other}"),
            Ok(_) => panic!("{msize}: the client goes on"),
        }
        server.join().unwrap();
    }
}
