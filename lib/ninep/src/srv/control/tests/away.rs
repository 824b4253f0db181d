//! A gate that stands still, and a journal that refuses: who waits, and what who is refused is told.

use super::*;

/// One command is through: there is no rule for the file.
fn passed() -> Desk {
    let mut desk = Desk::new(Some("audit"), Some("policy"));
    desk.open("0");
    let one = desk.write("1");
    let ask = desk.requests();
    desk.answer(&ask[0], Ok("OK GATE 0=pass gen=1 lease_ms=200\n"));
    appends(&mut desk, one, 1);
    desk.now.mono_ms += 200;
    desk
}

/// The one request is an append, which the journal takes.
fn appends(desk: &mut Desk, tag: u16, seq: u64) {
    let append = desk.requests();
    assert_eq!((append.len(), &*append[0].path), (1, "append"));
    desk.answer(&append[0], Ok(&format!("OK APPEND seq={seq} n=1\n")));
    assert_eq!(desk.replies(), [(tag, None)]);
}

/// The journal is asked for records from `seq` on, of which it has that one alone.
fn one_since(desk: &mut Desk, seq: u64) {
    for (from, said) in [(seq, record(seq, "/queen/ctl")), (seq + 1, String::new())] {
        let look = desk.requests();
        assert_eq!((look.len(), look[0].server, &*look[0].path), (1, "audit", &*format!("from/{from}")));
        desk.answer(&look[0], Ok(&said));
    }
}

#[test]
fn a_command_without_a_rule_does_not_wait_for_a_gate_that_stands_still() {
    let mut desk = passed();
    let two = desk.write("2");
    let asked = desk.requests();
    assert_eq!(asked[0].path, "gate");
    desk.now.mono_ms += 200;
    one_since(&mut desk, 1);
    appends(&mut desk, two, 2);
    // From then on nobody waits for it at all.
    let three = desk.write("3");
    one_since(&mut desk, 2);
    appends(&mut desk, three, 3);
    // It answers: it is asked again.
    desk.answer(&asked[0], Ok("OK GATE 0=pass gen=1 lease_ms=200\n"));
    let four = desk.write("4");
    let ask = desk.requests();
    assert_eq!(ask[0].path, "gate");
    desk.answer(&ask[0], Ok("OK GATE 0=pass gen=1 lease_ms=200\n"));
    appends(&mut desk, four, 4);
}

#[test]
fn a_rule_that_came_before_the_gate_stood_still_holds() {
    let mut desk = passed();
    let two = desk.write("2");
    assert_eq!(desk.requests()[0].path, "gate");
    desk.now.mono_ms += 200;
    let look = desk.requests();
    desk.answer(&look[0], Ok(&record(2, "/policy/ctl")));
    assert_eq!(desk.requests()[0].path, "gate", "what is open is not known any more");
    assert_eq!(desk.replies(), []);
    desk.now.mono_ms += 2000;
    assert_eq!(desk.replies(), [(two, Some(Word::Busy))]);
    let three = desk.write("3");
    assert_eq!(desk.requests()[0].path, "gate");
    desk.now.mono_ms += 2000;
    assert_eq!(desk.replies(), [(three, Some(Word::Busy))]);
}

#[test]
fn a_gate_that_stands_still_is_asked_until_it_answers_and_never_in_a_loop() {
    let mut desk = passed();
    let two = desk.write("2");
    let asked = desk.requests();
    desk.now.mono_ms += 200;
    one_since(&mut desk, 1);
    appends(&mut desk, two, 2);
    // The question is given up by who carries it, five seconds after it was asked.
    desk.now.mono_ms += 4800;
    desk.answer(&asked[0], Err(Word::Busy));
    let again = desk.requests();
    assert_eq!((again.len(), line(&again[0])), (1, AHEAD));
    assert_eq!(desk.engine.deadline_ms(), None, "nothing is to be done before it answers");
    // Refused at once: it is away, which is known at once whenever somebody asks.
    desk.answer(&again[0], Err(Word::Busy));
    assert_eq!(desk.requests(), []);
    assert_eq!(desk.engine.deadline_ms(), None);
}

#[test]
fn who_is_refused_is_told_what_the_journal_said() {
    let mut desk = Desk::new(Some("audit"), None);
    let asked = desk.requests();
    let damaged = Refusal::new(Word::Busy, "the journal is damaged: bad seq=7 fault=edited");
    desk.engine.reply(asked[0].id, Err(damaged), desk.now);
    let one = desk.write("5");
    let why = "the journal cannot be read: the journal is damaged: bad seq=7 fault=edited";
    assert_eq!(desk.refusals(), [(one, Some(Refusal::new(Word::Busy, why)))]);
    assert_eq!(desk.requests(), []);
    desk.now.mono_ms += 50;
    desk.open("0");
    let two = desk.write("6");
    let append = desk.requests();
    let full = Refusal::new(Word::Busy, "No space left on device");
    desk.engine.reply(append[0].id, Err(full), desk.now);
    let three = desk.write("7");
    let asked = desk.requests();
    desk.answer(&asked[0], Ok(""));
    let told =
        |tag, what: &str| (tag, Some(Refusal::new(Word::Busy, format!("{what}: No space left on device"))));
    assert_eq!(
        desk.refusals(),
        [told(three, "the journal is away"), told(two, "the journal does not take it")]
    );
    // It takes records again: what it said before is not said of what comes later.
    let four = desk.write("8");
    appends(&mut desk, four, 1);
    let five = desk.write("9");
    let append = desk.requests();
    desk.answer(&append[0], Err(Word::Busy));
    let asked = desk.requests();
    desk.answer(&asked[0], Ok(""));
    let plain = Refusal::new(Word::Busy, "the journal does not take it");
    assert_eq!(desk.refusals(), [(five, Some(plain))]);
}

#[test]
fn a_command_that_the_journal_may_have_is_not_told_as_not_taken() {
    let mut desk = Desk::new(Some("audit"), None);
    desk.open("0");
    let one = desk.write("5");
    let append = desk.requests();
    desk.engine.reply(append[0].id, Err(Refusal::new(Word::Busy, "audit does not answer")), desk.now);
    desk.requests();
    desk.now.mono_ms += 4000;
    let why = "it is not known whether the journal has taken it: audit does not answer";
    assert_eq!(desk.refusals(), [(one, Some(Refusal::new(Word::Busy, why)))]);
}

#[test]
fn the_log_hears_once_of_a_journal_that_stays_away() {
    let mut desk = Desk::new(Some("audit"), None);
    let away = Refusal::new(Word::Busy, "audit is not running");
    let mut logged = Vec::new();
    for _ in 0..100 {
        for request in desk.requests() {
            match request.server {
                "log" => logged.push((desk.now.mono_ms, line(&request).to_string())),
                _ => desk.engine.reply(request.id, Err(away.clone()), desk.now),
            }
        }
        desk.now.mono_ms += 50;
    }
    let [(at, what)] = &logged[..] else { panic!("{logged:?}") };
    assert!(*at >= 2000, "not at a start, where it is on its way: {at}");
    assert_eq!(what, "the journal cannot be read: audit is not running");
}
