//! The least that a hop between processes can cost: frames of the size of a Tgetattr in, frames of the
//! size of its reply out, over a Unix socket, waiting in epoll as the hive's servers do.
//!
//!     echo SOCKET          answers
//!     echo SOCKET NEXT     passes frames on to NEXT and its answers back: the second hop

use rustix::event::epoll;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

const REQUEST: usize = 19;
const REPLY: usize = 160;
const RGETATTR: u8 = 25;

fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let listener = UnixListener::bind(&args[1])?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let add = |stream: &UnixStream, id: u64| {
        epoll::add(&epoll, stream, epoll::EventData::new_u64(id), epoll::EventFlags::IN)
    };
    // One client after the other: a measurement has one connection.
    loop {
        let (mut client, _) = listener.accept()?;
        let mut next = match args.get(2) {
            Some(path) => Some(UnixStream::connect(path)?),
            None => None,
        };
        add(&client, 0)?;
        if let Some(next) = &next {
            add(next, 1)?;
        }
        let _ = serve(&epoll, &mut client, next.as_mut());
    }
}

fn serve(
    epoll: &std::os::fd::OwnedFd,
    client: &mut UnixStream,
    mut next: Option<&mut UnixStream>,
) -> std::io::Result<()> {
    let mut input = vec![0; 1 << 16];
    let mut held = 0;
    let mut out = Vec::with_capacity(1 << 16);
    let mut events = Vec::with_capacity(16);
    loop {
        events.clear();
        epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            match (event.data.u64(), &mut next) {
                (0, None) => {
                    let n = client.read(&mut input[held..])?;
                    if n == 0 {
                        return Ok(());
                    }
                    held += n;
                    out.clear();
                    for frame in input[..held].chunks_exact(REQUEST) {
                        let at = out.len();
                        out.resize(at + REPLY, 0);
                        out[at] = REPLY as u8;
                        out[at + 4] = RGETATTR;
                        out[at + 5..at + 7].copy_from_slice(&frame[5..7]);
                    }
                    let used = held / REQUEST * REQUEST;
                    input.copy_within(used..held, 0);
                    held -= used;
                    client.write_all(&out)?;
                }
                (from, Some(next)) => {
                    let (from, to) =
                        if from == 0 { (&mut *client, &mut **next) } else { (&mut **next, &mut *client) };
                    let n = from.read(&mut input)?;
                    if n == 0 {
                        return Ok(());
                    }
                    to.write_all(&input[..n])?;
                }
                _ => {}
            }
        }
    }
}
