//! Many hearts in one process, each with a ticket and a session of its own. A few threads share them:
//! as many beats are on their way at once, and no more. Lines on the standard input start and stop
//! hearts; at its end all end.

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

/// Threads. A thread for each heart would have a machine's processors run hearts before the hive.
const LANES: usize = 32;

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
}

impl Lane {
    fn new(orders: Receiver<Order>) -> Lane {
        let (members, numbers) = (HashMap::new(), HashMap::new());
        Lane { orders, members, numbers, due: BinaryHeap::new(), next: 0 }
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

    /// The heart that has been due for longest.
    fn beat(&mut self) {
        let Some(Reverse((_, number))) = self.due.pop() else { return };
        let Some(member) = self.members.get_mut(&number) else { return };
        match member.heart.beat(&mut member.files) {
            Step::Wait(ms) => self.due.push(Reverse((Instant::now() + Duration::from_millis(ms), number))),
            step => {
                let subject = member.subject.clone();
                if let Step::Failed(error) = step {
                    eprintln!("worker-heart: {subject}: {}", error.said);
                }
                self.stop(&subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(line: &str) -> Order {
        serde_json::from_str(line).unwrap()
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
        lane.beat();
        assert!(lane.members.is_empty() && lane.numbers.is_empty() && lane.due.is_empty());
    }
}
