//! pong: the smallest process. What comes over its first channel as `ping …` it answers with `pong …`.
//! The root task asks it once at boot, which shows that processes, channels and wake-ups work.
//! Guarantees: it answers every line of at most 64 bytes; on a spoilt channel it faults.
#![cfg_attr(target_os = "none", no_std, no_main)]
// The entry point's name is exported, which counts as unsafe.
#![cfg_attr(target_os = "none", allow(unsafe_code))]

#[cfg(target_os = "none")]
task::process!(bare::main);

#[cfg(target_os = "none")]
mod bare {
    use task::fail;

    const LINE_MAX: usize = 64;

    pub(crate) fn main() -> ! {
        let Some((_, mut channel)) = task::channels().next() else { fail(format_args!("no channel")) };
        let mut line = [0; LINE_MAX];
        loop {
            let count = match channel.conversation() {
                Some(_) => channel.read(&mut line),
                None => Ok(0),
            };
            match count {
                Ok(0) => task::sleep(None),
                Ok(count) => {
                    // The second letter is all that tells the two words apart.
                    if line.starts_with(b"ping") {
                        line[1] = b'o';
                    }
                    if channel.write(&line[..count]).is_err() {
                        fail(format_args!("the channel is spoilt"));
                    }
                }
                Err(_) => fail(format_args!("the channel is spoilt")),
            }
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("pong: runs on seL4 only; build the image with sys/sel4/build");
}
