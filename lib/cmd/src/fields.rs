//! The hive's own line format, `name key=value …`, and columns made of it.

use serde_json::{Map, Value};

/// One line of a file such as `/proc/queen/workers`: words without `=` first, then fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The words before the first field.
    pub words: Vec<String>,
    /// The fields in their order.
    pub fields: Vec<(String, String)>,
}

impl Record {
    /// Takes a line apart. A value in double quotes may hold spaces.
    pub fn parse(line: &str) -> Self {
        let mut record = Record::default();
        for token in tokens(line) {
            match token.split_once('=') {
                Some((key, value)) => {
                    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
                    record.fields.push((key.to_owned(), value.to_owned()));
                }
                None => record.words.push(token.to_owned()),
            }
        }
        record
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// As a JSON object; the words are called `names` in order, numbers become numbers.
    pub fn json(&self, names: &[&str]) -> Value {
        let words = names.iter().zip(&self.words).map(|(k, v)| ((*k).to_owned(), Value::from(v.as_str())));
        let fields = self.fields.iter().map(|(k, v)| {
            (k.clone(), v.parse::<u64>().map_or_else(|_| Value::from(v.as_str()), Value::from))
        });
        Value::Object(words.chain(fields).collect::<Map<_, _>>())
    }
}

/// Lines of columns of records: one for their words, called `words`, then one for each field that any of
/// them has, in the order of appearance.
pub fn columns(words: &str, records: &[Record]) -> Vec<String> {
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in records.iter().flat_map(|record| &record.fields) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let header: Vec<String> =
        std::iter::once(words.to_uppercase()).chain(keys.iter().map(|key| key.to_uppercase())).collect();
    let row = |record: &Record| {
        let fields = keys.iter().map(|key| record.get(key).unwrap_or("-").to_owned());
        std::iter::once(record.words.join(" ")).chain(fields).collect::<Vec<_>>()
    };
    table(&header, &records.iter().map(row).collect::<Vec<_>>())
}

/// Splits at spaces that are not inside double quotes.
fn tokens(line: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let (mut start, mut is_quoted) = (0, false);
    for (i, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b' ' | b'\t' if !is_quoted => {
                tokens.push(&line[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    tokens.push(&line[start..]);
    tokens.retain(|token| !token.is_empty());
    tokens
}

/// Lines of columns; each column as wide as its widest cell, columns that hold only numbers to the
/// right, no spaces at a line's end.
pub fn table(header: &[String], rows: &[Vec<String>]) -> Vec<String> {
    let cell = |row: &'_ [String], c: usize| row.get(c).cloned().unwrap_or_default();
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b','));
    let columns: Vec<(usize, bool)> = (0..header.len())
        .map(|c| {
            let width = rows.iter().map(|r| cell(r, c).chars().count()).max().unwrap_or(0);
            let is_right = !rows.is_empty() && rows.iter().all(|r| is_number(&cell(r, c)));
            (width.max(header[c].chars().count()), is_right)
        })
        .collect();
    std::iter::once(header)
        .chain(rows.iter().map(Vec::as_slice))
        .map(|row| {
            let cells = columns.iter().enumerate().map(|(c, (width, is_right))| {
                let text = cell(row, c);
                if *is_right { format!("{text:>width$}") } else { format!("{text:<width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

/// `-rw-r--r--`, as ls prints it.
pub fn mode_string(mode: u32) -> String {
    let kind = if mode & 0o170_000 == 0o040_000 { 'd' } else { '-' };
    let bits = (0..9).rev().map(|bit| {
        let letter = ['x', 'w', 'r'][bit % 3];
        if mode & (1 << bit) != 0 { letter } else { '-' }
    });
    std::iter::once(kind).chain(bits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_words_and_fields() {
        let record = Record::parse(r#"worker-3 role=worker-heartbeat ticks=5 why="two words""#);
        assert_eq!(record.words, ["worker-3"]);
        assert_eq!(record.get("why"), Some("two words"));
        assert_eq!(
            record.json(&["id"]).to_string(),
            r#"{"id":"worker-3","role":"worker-heartbeat","ticks":5,"why":"two words"}"#
        );
    }

    #[test]
    fn a_record_without_a_field_shows_a_dash() {
        let workers = ["worker-1 role=worker-heartbeat ticks=5", "worker-2 role=worker-gpu lease=lease-1"];
        let workers: Vec<Record> = workers.iter().map(|line| Record::parse(line)).collect();
        assert_eq!(
            columns("id", &workers),
            [
                "ID        ROLE              TICKS  LEASE",
                "worker-1  worker-heartbeat      5  -",
                "worker-2  worker-gpu            -  lease-1",
            ]
        );
        assert_eq!(columns("id", &[]), ["ID"]);
    }

    #[test]
    fn columns_line_up() {
        let header = ["ID".to_owned(), "TICKS".to_owned()];
        let rows = [vec!["worker-10".to_owned(), "5".to_owned()], vec!["w".to_owned(), "100".to_owned()]];
        assert_eq!(table(&header, &rows), ["ID         TICKS", "worker-10      5", "w            100"]);
    }

    #[test]
    fn modes_read_like_ls() {
        assert_eq!(mode_string(0o040_555), "dr-xr-xr-x");
        assert_eq!(mode_string(0o100_622), "-rw--w--w-");
        assert_eq!(mode_string(0o100_000), "----------");
    }
}
