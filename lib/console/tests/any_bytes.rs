//! Any bytes give, line by line, one verb or one ERR line; and nothing is allocated for it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use console::{ANSWER_MAX, Answer, Editor, Framed, Framer, Script, Session, Step, Throttle, Verb};
use proptest::prelude::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is the system allocator's; the count is beside it.
#[allow(unsafe_code, reason = "an allocator cannot be written otherwise")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no count any more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// One line's worth of bytes through everything that sees them; how many lines there were.
fn through(bytes: &[u8]) -> usize {
    let (mut editor, mut framer) = (Editor::new(), Framer::<256>::new());
    let (mut session, mut throttle) = (Session::new(true, false), Throttle::new());
    session.line(Ok("AUTH t"), b"t", &mut throttle, 0);
    let mut lines = 0;
    for (now, byte) in bytes.iter().enumerate() {
        if framer.feed(*byte) == Some(Framed::Line) {
            assert!(framer.line().len() <= 256);
        }
        if !editor.feed(*byte) {
            continue;
        }
        lines += 1;
        let verb = Verb::of(editor.line());
        match session.line(editor.line(), b"t", &mut throttle, now as u64) {
            Step::Say(answer) | Step::Denied(answer, _) => one_line(&answer, "ERR "),
            Step::Close(answer) => one_line(&answer, "OK QUIT"),
            Step::Pong => assert_eq!(verb, Ok(Verb::Ping)),
            Step::Do(done) => {
                if matches!(done, Verb::Attach { .. }) {
                    session.attached();
                }
                assert_eq!(verb, Ok(done));
            }
        }
        if let Err(refused) = verb {
            one_line(&refused.answer(), "ERR ");
        }
    }
    lines
}

fn one_line(answer: &Answer, start: &str) {
    let line = answer.as_str();
    assert!(line.starts_with(start) && line.len() <= ANSWER_MAX && !line.chars().any(char::is_control));
}

fn allocations(of: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    of();
    ALLOCATIONS.with(Cell::get) - before
}

fn likely() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        "(help|ping|attach|detach|log|tail|cat|ls|echo|spawn|kill|bind|mount|lifecycle|test|quit|AUTH|smp)",
        "/[a-z/.]{0,12}",
        "(--mode|--json|full|--timeout|9|>|k=v|queen)",
        "[ -~é€]{0,8}",
    ];
    let line = prop::collection::vec(word, 0..6).prop_map(|words| words.join(" ").into_bytes());
    let end = prop::sample::select(vec![&b"\n"[..], b"\r", b"\r\n", b"\x15", b"\x08", b"\0\n", b"\xff\n"]);
    prop::collection::vec((line, end).prop_map(|(line, end)| [&line, end].concat()), 1..12)
        .prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_give_a_verb_or_one_err_line(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        through(&bytes);
    }

    #[test]
    fn likely_lines_too(bytes in likely()) {
        through(&bytes);
    }

    #[test]
    fn no_line_makes_it_allocate(bytes in likely()) {
        prop_assert_eq!(allocations(|| { through(&bytes); }), 0);
    }

    #[test]
    fn a_line_that_ends_is_counted_once(texts in prop::collection::vec("[a-z ]{0,20}", 0..20)) {
        let bytes: String = texts.iter().map(|text| format!("{text}\r\n")).collect();
        prop_assert_eq!(through(bytes.as_bytes()), texts.len());
    }
}

#[test]
fn a_script_runs_without_allocation() {
    let text = include_str!("script.coh");
    let count = allocations(|| {
        let mut script = Script::new(text).unwrap();
        loop {
            match script.step(text) {
                console::Next::Send(_) => script.response("OK X"),
                console::Next::Wait(_) => {}
                console::Next::Done => break,
                console::Next::Failed => unreachable!("everything is OK"),
            }
        }
    });
    assert_eq!(count, 0);
}

/// A measurement, not a judgement: how many lines a second one core reads.
#[test]
fn lines_a_second() {
    let lines =
        b"cat /proc/boot\necho {\"kill\":\"worker-3\"} > /queen/ctl\nspawn heartbeat ticks=100\nping\nls /\n";
    let bytes = lines.repeat(20_000);
    let mut editor = Editor::new();
    let start = Instant::now();
    let mut verbs = 0;
    for byte in &bytes {
        if editor.feed(*byte) && Verb::of(editor.line()).is_ok() {
            verbs += 1;
        }
    }
    let rate = f64::from(verbs) / start.elapsed().as_secs_f64();
    assert_eq!(verbs, 100_000);
    println!("{rate:.0} lines/s");
}
