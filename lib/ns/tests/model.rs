//! The table against a model that knows nothing of text arenas: lists of names, recursion.
#![forbid(unsafe_code)]

use ns::{Entry, Path, Place, Resolved, Table, Template, Vars};
use proptest::collection::vec;
use proptest::prelude::*;

type Names = Vec<String>;

#[derive(Clone, Debug)]
struct Op {
    bind: bool,
    ro: bool,
    from: Names,
    old: Names,
}

/// What the model says of a path: the entry, read-only or not, and the names left.
#[derive(Debug, PartialEq)]
enum Model {
    Mount(usize, bool, Names),
    Synthetic,
    NotFound,
}

fn model(ops: &[Op], path: &[String], ro: bool) -> Model {
    let longest = ops.iter().filter(|op| path.starts_with(&op.old)).map(|op| op.old.len()).max();
    let best = ops.iter().rposition(|op| path.starts_with(&op.old) && Some(op.old.len()) == longest);
    let below = ops.iter().any(|op| op.old.len() > path.len() && op.old.starts_with(path));
    let answer = match best {
        None => Model::NotFound,
        Some(i) => {
            let (op, rest) = (&ops[i], &path[ops[i].old.len()..]);
            if op.bind {
                model(&ops[..i], &[&op.from, rest].concat(), ro || op.ro)
            } else {
                Model::Mount(i, ro || op.ro, rest.to_vec())
            }
        }
    };
    if answer == Model::NotFound && (below || path.is_empty()) { Model::Synthetic } else { answer }
}

fn text(names: &[String]) -> String {
    if names.is_empty() { "/".into() } else { names.iter().map(|name| format!("/{name}")).collect() }
}

/// Applies what the table accepts; the model gets the same.
fn build(ops: Vec<Op>) -> (Table, Vec<Op>) {
    let mut table = Table::default();
    let mut accepted = Vec::new();
    for op in ops {
        let done = if op.bind {
            table.bind(&text(&op.from), &text(&op.old), op.ro)
        } else {
            table.mount("server", &text(&op.old), &op.from.join("/"), op.ro)
        };
        if done.is_ok() {
            accepted.push(op);
        }
    }
    (table, accepted)
}

fn seen(table: &Table, path: &[String]) -> Model {
    match table.resolve(path) {
        Resolved::Mount(place) => {
            let rest = place.rest(path).map(String::from).collect();
            Model::Mount(place.entry, place.ro, rest)
        }
        Resolved::Synthetic => Model::Synthetic,
        Resolved::NotFound => Model::NotFound,
    }
}

// Names that are prefixes of one another, so that a comparison of text alone would be caught.
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "ab", "b", "c"]).prop_map(String::from)
}

fn names(most: usize) -> impl Strategy<Value = Names> {
    vec(name(), 0..=most)
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = (prop::bool::weighted(0.6), any::<bool>(), names(3), names(3));
    vec(op.prop_map(|(bind, ro, from, old)| Op { bind, ro, from, old }), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_table_resolves_as_the_model_does(ops in ops(), paths in vec(names(6), 1..20)) {
        let (table, ops) = build(ops);
        for path in paths {
            prop_assert_eq!(seen(&table, &path), model(&ops, &path, false), "{:?} in\n{}", path, table);
        }
    }

    #[test]
    fn a_printed_table_parses_back_to_itself(ops in ops()) {
        let (table, _) = build(ops);
        prop_assert_eq!(Table::parse(&table.to_string(), &Vars::default()), Ok(table));
    }

    #[test]
    fn every_mount_point_is_found_by_listing(ops in ops()) {
        let (table, ops) = build(ops);
        for op in &ops {
            for depth in 0..op.old.len() {
                let here = table.children(&op.old[..depth]);
                prop_assert!(here.contains(&op.old[depth].as_str()), "{:?} in\n{}", op.old, table);
            }
        }
    }

    #[test]
    fn what_is_listed_exists(ops in ops(), path in names(4)) {
        let (table, _) = build(ops);
        let children = table.children(&path);
        if table.resolve(&path) == Resolved::Synthetic && !path.is_empty() {
            prop_assert!(!children.is_empty(), "{:?} in\n{}", path, table);
        }
        for child in children {
            let path = [&path[..], &[child.to_string()]].concat();
            prop_assert_ne!(table.resolve(&path), Resolved::NotFound, "{:?} in\n{}", path, table);
        }
    }

    #[test]
    fn with_nothing_below_a_walk_can_be_handed_on(ops in ops(), path in names(4), more in names(3)) {
        let (table, _) = build(ops);
        let longer = [&path[..], &more[..]].concat();
        if let Resolved::Mount(Place { entry, ro, below: false, lead, from }) = table.resolve(&path) {
            let expected = Resolved::Mount(Place { entry, ro, below: false, lead, from });
            prop_assert_eq!(table.resolve(&longer), expected);
        }
    }

    #[test]
    fn no_rest_is_longer_than_a_walk(ops in vec((prop::bool::weighted(0.8), names(7), names(7)), 0..40), path in names(8)) {
        let ops = ops.into_iter().map(|(bind, from, old)| Op { bind, ro: false, from, old }).collect();
        let (table, _) = build(ops);
        if let Resolved::Mount(place) = table.resolve(&path) {
            prop_assert!(place.rest(&path).count() <= 15);
        }
    }

    #[test]
    fn any_text_is_a_table_or_an_error(text in "(mount|bind|\\.|-r|a|/a/b|/b|\\$subject|\\$shard|'|#|[ \n\t]|\\PC){0,60}") {
        let vars = Vars { subject: Some("s"), shard: Some("4f") };
        if let Ok(table) = Table::parse(&text, &vars) {
            prop_assert_eq!(Table::parse(&table.to_string(), &Vars::default()), Ok(table));
        }
        if let Ok(template) = Template::parse("t", &text) {
            let again = Template::parse("t", &template.to_string()).expect("prints what parses");
            prop_assert_eq!(again.to_string(), template.to_string());
            prop_assert_eq!(again.expand(&vars).ok(), template.expand(&vars).ok());
        }
    }

    #[test]
    fn any_name_survives_quoting(names in vec("[^/\0\\p{Cc}]{1,20}", 1..4)) {
        let path: String = names.iter().map(|name| format!("/{name}")).collect();
        if Path::parse(&path).is_ok() {
            let mut table = Table::default();
            prop_assert_eq!(table.mount("server", &path, &names.join("/"), true), Ok(()));
            prop_assert_eq!(table.bind(&path, "/a name that is longer than any other", false), Ok(()));
            let seen = matches!(table.entry(0), Some(Entry::Mount { old, .. }) if old == path);
            prop_assert!(seen, "{}", table);
            prop_assert_eq!(Table::parse(&table.to_string(), &Vars::default()), Ok(table));
        }
    }

    #[test]
    fn any_path_text_is_a_path_or_an_error(text in "(/|\\.|a|\\PC|\0){0,40}") {
        if let Ok(path) = Path::parse(&text) {
            prop_assert_eq!(path.to_string(), text);
        }
    }
}
