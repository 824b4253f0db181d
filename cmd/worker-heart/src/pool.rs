//! Many hearts in one process, each with a ticket and a session of its own. A few threads share them. What
//! is due together is sent together and then waited for: a thread that waited for each beat in turn would
//! have the machine change processes for every record. Lines on the standard input start and stop hearts;
//! at its end all end.

use crate::heart::{Heart, Step};
use crate::space::Files;
use crate::{CONFIG_MAX, Config};
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Threads: more than one, so that what one hive's file keeps waiting is not everybody.
const LANES: usize = 4;
/// Beats that are on their way at once in each.
const TOGETHER: usize = 64;
/// Beats of a slow heart are due on multiples of this, so that some are due together.
const GRID: Duration = Duration::from_millis(10);
/// A heart is slow from here on.
const SLOW_MS: u64 = 200;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Order {
    Start(Config),
    Stop(Stop),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stop {
    worker: String,
}

pub(crate) fn run() -> Result<ExitCode, String> {
    rt::alone().map_err(|error| error.to_string())?;
    let mut input = BufReader::new(std::io::stdin());
    let lanes: Vec<Sender<Order>> = (0..LANES)
        .map(|_| {
            let (orders, taken) = channel();
            let thread = std::thread::Builder::new().spawn(move || Lane::new(taken).run());
            thread.map(|_| orders).map_err(|error| format!("no thread: {error}"))
        })
        .collect::<Result<_, _>>()?;
    loop {
        let mut line = Zeroizing::new(String::new());
        let n = (&mut input).take(CONFIG_MAX).read_line(&mut line);
        if n.map_err(|error| format!("standard input: {error}"))? == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        match serde_json::from_str(&line) {
            Ok(order) => {
                let lane = &lanes[lane_of(&order)];
                lane.send(order).map_err(|_| "a thread has ended".to_owned())?;
            }
            // Without the parser's words: they can repeat a ticket.
            Err(error) => eprintln!("worker-heart: standard input: no order (column {})", error.column()),
        }
    }
}

fn lane_of(order: &Order) -> usize {
    let worker = match order {
        Order::Start(config) => &config.subject,
        Order::Stop(stop) => &stop.worker,
    };
    let mut hasher = DefaultHasher::new();
    worker.hash(&mut hasher);
    hasher.finish() as usize % LANES
}

struct Member {
    subject: String,
    heart: Heart,
    files: Files,
}

/// The hearts of one thread, which beat one after the other when they are due.
struct Lane {
    orders: Receiver<Order>,
    members: HashMap<u64, Member>,
    numbers: HashMap<String, u64>,
    /// Numbers are never used again: what is due for one that has stopped is passed over.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    next: u64,
    born: Instant,
}

impl Lane {
    fn new(orders: Receiver<Order>) -> Lane {
        let (members, numbers) = (HashMap::new(), HashMap::new());
        Lane { orders, members, numbers, due: BinaryHeap::new(), next: 0, born: Instant::now() }
    }

    fn run(mut self) {
        loop {
            let order = match self.due.peek() {
                Some(Reverse((at, _))) => {
                    self.orders.recv_timeout(at.saturating_duration_since(Instant::now()))
                }
                None => self.orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(Order::Start(config)) => self.start(&config),
                Ok(Order::Stop(Stop { worker })) => self.stop(&worker),
                Err(RecvTimeoutError::Timeout) => self.beat(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn start(&mut self, config: &Config) {
        let subject = config.subject.clone();
        self.stop(&subject);
        match Files::new(config) {
            Err(error) => eprintln!("worker-heart: {subject}: {}: {error}", config.door),
            Ok(files) => {
                let heart = Heart::new(config.ticks, config.period_ms.max(1));
                self.numbers.insert(subject.clone(), self.next);
                self.members.insert(self.next, Member { subject, heart, files });
                self.due.push(Reverse((Instant::now(), self.next)));
                self.next += 1;
            }
        }
    }

    fn stop(&mut self, worker: &str) {
        if let Some(number) = self.numbers.remove(worker) {
            self.members.remove(&number);
        }
    }

    /// The hearts that are due, the one that has been due for longest first.
    fn beat(&mut self) {
        let now = Instant::now();
        let mut sent = Vec::with_capacity(TOGETHER);
        while sent.len() < TOGETHER
            && let Some(Reverse((at, number))) = self.due.peek().copied()
            && at <= now
        {
            self.due.pop();
            let Some(member) = self.members.get_mut(&number) else { continue };
            match member.heart.begin(&mut member.files) {
                None => sent.push((at, number)),
                Some(step) => self.after(at, number, step),
            }
        }
        for (at, number) in sent {
            let Some(member) = self.members.get_mut(&number) else { continue };
            let step = member.heart.end(&mut member.files);
            self.after(at, number, step);
        }
    }

    /// What comes after the beat that was due then.
    fn after(&mut self, at: Instant, number: u64, step: Step) {
        match step {
            Step::Wait(ms) => {
                let due = (at + Duration::from_millis(ms)).max(Instant::now());
                let due = if ms >= SLOW_MS { on_grid(self.born, due) } else { due };
                self.due.push(Reverse((due, number)));
            }
            step => {
                let Some(member) = self.members.get(&number) else { return };
                let subject = member.subject.clone();
                if let Step::Failed(error) = step {
                    eprintln!("worker-heart: {subject}: {}", error.said);
                }
                self.stop(&subject);
            }
        }
    }
}

/// The first multiple of [`GRID`] since `born` that is not before `at`.
fn on_grid(born: Instant, at: Instant) -> Instant {
    let since = at.saturating_duration_since(born).as_micros();
    // After a year and four months the grid ends.
    u32::try_from(since.div_ceil(GRID.as_micros())).map_or(at, |steps| born + GRID * steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(line: &str) -> Order {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn what_is_due_is_due_on_the_grid_and_never_early() {
        let born = Instant::now();
        for us in [0, 1, 9_999, 10_000, 10_001, 1_234_567, 40_000_000_000] {
            let at = born + Duration::from_micros(us);
            let due = on_grid(born, at);
            assert!(due >= at && due - at < GRID, "{us}");
            assert_eq!((due - born).as_micros() % GRID.as_micros(), 0);
        }
    }

    #[test]
    fn a_stop_reaches_the_lane_of_its_start() {
        for i in 0..100 {
            let start = order(&format!(
                "{{\"start\":{{\"door\":\"unix!/d\",\"ticket\":\"t\",\"subject\":\"w-{i}\",\"ticks\":0,\
                 \"period_ms\":10}}}}"
            ));
            let stop = order(&format!("{{\"stop\":{{\"worker\":\"w-{i}\"}}}}"));
            assert_eq!(lane_of(&start), lane_of(&stop));
        }
    }

    #[test]
    fn a_heart_that_was_stopped_is_not_due() {
        let (_orders, taken) = channel();
        let mut lane = Lane::new(taken);
        let Order::Start(config) = order(
            "{\"start\":{\"door\":\"unix!/nowhere\",\"ticket\":\"t\",\"subject\":\"w\",\"ticks\":0,\"period_ms\":10}}",
        ) else {
            panic!("a stop")
        };
        lane.start(&config);
        lane.beat();
        assert_eq!((lane.members.len(), lane.due.len()), (1, 1), "no door yet: it waits");
        lane.stop("w");
        lane.due = BinaryHeap::from([Reverse((Instant::now(), 0))]);
        lane.beat();
        assert!(lane.members.is_empty() && lane.numbers.is_empty() && lane.due.is_empty());
    }
}
