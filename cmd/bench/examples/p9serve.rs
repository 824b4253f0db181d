//! A directory served by the `p9` crate over a Unix socket, a thread for each connection: what
//! tests/bench compares with. For measurements on one machine only: the crate guards nothing.
//!
//!     p9serve SOCKET DIR

use p9::Server;
use std::io::{BufReader, BufWriter};
use std::os::unix::net::UnixListener;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let listener = UnixListener::bind(&args[1])?;
    loop {
        let (stream, _) = listener.accept()?;
        let root = Path::new(&args[2]).to_owned();
        std::thread::spawn(move || -> std::io::Result<()> {
            let mut server = Server::new(root, Default::default(), Default::default())?;
            // Unbuffered, the crate makes several system calls for each frame; this is its best.
            let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone()?);
            let mut writer = BufWriter::with_capacity(1 << 16, stream);
            loop {
                server.handle_message(&mut reader, &mut writer)?;
            }
        });
    }
}
