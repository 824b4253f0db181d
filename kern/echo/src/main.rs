//! echo: a process that answers every stream of the network with what it is sent, in the place of a door.
//! tests/sel4 puts it into an image to see the way from a client to a process and back, and to measure it.
//! Guarantees: it holds no more of a stream than it was let send.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The entry point's name is exported, which counts as unsafe.
#![cfg_attr(target_os = "none", allow(unsafe_code))]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
task::process!(bare::main);

#[cfg(target_os = "none")]
mod bare {
    use alloc::vec::Vec;

    use chan::Moved;
    use chan::mux::Broken;
    use chan::streams::{StreamId, Streams};
    use task::config::Role;
    use task::{Many, fail};

    /// A stream, and what it has yet to be sent.
    type Stream = (StreamId, Vec<u8>);

    pub(crate) fn main() -> ! {
        let many = task::channels().find(|(wire, _)| wire.role == Role::Many);
        let Some((_, channel)) = many else { fail(format_args!("no channel to the network")) };
        let mut streams = Streams::new(Many::new(channel));
        let mut open = Vec::new();
        let mut conversation = None;
        loop {
            let now = streams.pipe.conversation();
            if now != conversation {
                conversation = now;
                streams.reset();
                open.clear();
            }
            if now.is_some() && turn(&mut streams, &mut open).is_err() {
                fail(format_args!("the channel is spoilt"));
            }
            streams.pipe.ring();
            task::sleep(None);
        }
    }

    fn turn(streams: &mut Streams<Many>, open: &mut Vec<Stream>) -> Result<(), Broken> {
        streams.take()?;
        while let Some((id, ..)) = streams.opened() {
            open.push((id, Vec::new()));
        }
        let mut broken = None;
        open.retain_mut(|(id, held)| match echo(streams, *id, held) {
            Ok(is_open) => is_open,
            Err(why) => {
                broken = Some(why);
                true
            }
        });
        match broken {
            Some(why) => Err(why),
            None => streams.flush(),
        }
    }

    /// Answers one stream as far as it goes; returns whether it goes on.
    fn echo(streams: &mut Streams<Many>, id: StreamId, held: &mut Vec<u8>) -> Result<bool, Broken> {
        let mut buffer = [0; 4096];
        loop {
            while !held.is_empty() {
                match streams.write(id, held)? {
                    Moved::Bytes(count) => drop(held.drain(..count)),
                    Moved::Later => return Ok(true),
                    Moved::Ended => break,
                }
            }
            match streams.read(id, &mut buffer) {
                Moved::Bytes(count) => held.extend_from_slice(&buffer[..count]),
                Moved::Later => return Ok(true),
                Moved::Ended => {
                    streams.close(id);
                    return Ok(false);
                }
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("net-echo: runs on seL4 only, in tests/sel4");
}
