//! What a ticket has used up, whichever way it is shown or narrowed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ticket::{
    Accounts, Attenuation, Bounds, Budget, Claims, Grant, IssuerKey, Quota, Refused, Role, Scope, Token,
    Verb, Verbs, mint,
};

fn minted(id: u8, ops: Option<u64>) -> Token {
    let claims = Claims {
        hive: "hive".into(),
        id: [id; 16],
        role: Role::Queen,
        subject: String::new(),
        issued_ms: 0,
        expires_ms: 100_000,
        budget: Budget { ops, ..Budget::default() },
        scopes: Vec::new(),
        quota: Quota::default(),
    };
    mint(&claims, &IssuerKey::generate([7; 32]), [1; 32], &Bounds::default()).unwrap()
}

fn narrowed(token: &Token, less: &Attenuation, seed: u8) -> Token {
    token.narrow(less, [seed; 32]).unwrap()
}

fn grant(token: &Token) -> Grant {
    token.claims_unverified().unwrap()
}

fn rate(path: &str, rate_per_s: u32) -> Attenuation {
    let scopes = Some(vec![Scope { path: path.into(), verbs: Verbs::Both, rate_per_s }]);
    Attenuation { scopes, ..Attenuation::default() }
}

fn ops(ops: u64) -> Attenuation {
    Attenuation { budget: Some(Budget { ops: Some(ops), ..Budget::default() }), ..Attenuation::default() }
}

/// How many of ten requests are let through at `now_ms`.
fn through(accounts: &mut Accounts, token: &Token, path: &str, now_ms: u64) -> usize {
    let mut meter = accounts.open(&grant(token), now_ms).unwrap();
    (0..10).filter(|_| meter.charge(path, Verb::Read, 0, now_ms).is_ok()).count()
}

#[test]
fn a_child_has_its_own_limits_and_spends_its_parents() {
    let mut accounts = Accounts::default();
    let parent = minted(1, Some(12));
    let (one, two) = (narrowed(&parent, &ops(5), 2), narrowed(&parent, &ops(5), 3));
    assert_eq!(through(&mut accounts, &one, "/x", 0), 5);
    assert_eq!(through(&mut accounts, &one, "/x", 0), 0, "shown again, not begun again");
    assert_eq!(through(&mut accounts, &two, "/x", 0), 5);
    assert_eq!(through(&mut accounts, &parent, "/x", 0), 2);
    accounts.set_ops(&grant(&parent).id, 1);
    assert_eq!(accounts.ops_left().collect::<Vec<_>>(), [(grant(&parent).id.as_str(), 1)]);
    assert_eq!(through(&mut accounts, &two, "/x", 0), 0, "the child's own are spent");
    assert_eq!(through(&mut accounts, &parent, "/x", 0), 1);
}

#[test]
fn many_children_are_no_faster_than_their_parent() {
    let mut accounts = Accounts::default();
    let parent = narrowed(&minted(1, None), &rate("/a", 4), 2);
    let children: Vec<Token> = (1..=4).map(|n| narrowed(&parent, &rate("/a/b", n), 10 + n as u8)).collect();
    for now_ms in [0, 1000, 5000] {
        let sum: usize = children.iter().map(|child| through(&mut accounts, child, "/a/b", now_ms)).sum();
        assert_eq!(sum, 4, "at {now_ms}");
        assert_eq!(through(&mut accounts, &parent, "/a", now_ms), 0);
    }
}

#[test]
fn who_refuses_charges_nobody() {
    let mut accounts = Accounts::default();
    let parent = minted(1, Some(3));
    let child = narrowed(&parent, &rate("/a", 1), 2);
    assert_eq!(through(&mut accounts, &child, "/a", 0), 1, "nine were too fast");
    assert_eq!(through(&mut accounts, &child, "/b", 0), 0, "ten were elsewhere");
    assert_eq!(through(&mut accounts, &parent, "/b", 0), 2);
}

#[test]
fn an_early_end_of_the_child_is_not_the_parents() {
    let mut accounts = Accounts::new(1);
    let parent = minted(1, Some(3));
    let child = narrowed(&parent, &Attenuation { expires_ms: Some(1000), ..Attenuation::default() }, 2);
    let mut meter = accounts.open(&grant(&child), 0).unwrap();
    assert_eq!(meter.charge("/", Verb::Read, 0, 1000), Err(Refused::Expired));
    assert_eq!(through(&mut accounts, &parent, "/", 2000), 3);
    assert!(accounts.open(&grant(&minted(2, None)), 2000).is_none(), "no room, and nothing is forgotten");
    assert!(accounts.open(&grant(&minted(2, None)), 100_000).is_some());
}

#[test]
fn who_narrows_without_end_fills_up_one_ticket_only() {
    let mut accounts = Accounts::default();
    let parent = minted(1, None);
    let opened = (0..80).filter(|seed| {
        let child = narrowed(&parent, &ops(1), *seed);
        accounts.open(&grant(&child), 0).is_some()
    });
    assert_eq!(opened.count(), 64);
    assert!(accounts.open(&grant(&parent), 0).is_some());
    assert!(accounts.open(&grant(&narrowed(&minted(2, None), &ops(1), 9)), 0).is_some());
}
