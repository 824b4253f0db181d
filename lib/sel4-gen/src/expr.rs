//! Constant expressions of C as kernel headers use them: integers, names, `defined`, and the operators.

/// Evaluates `text`. `name` gives a name's value; a name that it does not know makes the whole unknown.
pub(crate) fn value(text: &str, name: &dyn Fn(&str) -> Option<i128>) -> Option<i128> {
    run(text, name, &|_| false)
}

/// Evaluates a preprocessor condition, where an unknown name is 0 and `defined` asks `is_defined`.
pub(crate) fn condition(
    text: &str,
    name: &dyn Fn(&str) -> Option<i128>,
    is_defined: &dyn Fn(&str) -> bool,
) -> Option<bool> {
    run(text, &|word| Some(name(word).unwrap_or(0)), is_defined).map(|v| v != 0)
}

fn run(text: &str, name: &dyn Fn(&str) -> Option<i128>, is_defined: &dyn Fn(&str) -> bool) -> Option<i128> {
    let tokens = tokens(text)?;
    let mut reader = Reader { tokens: &tokens, name, is_defined };
    let value = reader.binary(0)?;
    reader.tokens.is_empty().then_some(value)
}

#[derive(Debug, PartialEq)]
enum Token {
    Number(i128),
    Name(String),
    Sign(&'static str),
}

const SIGNS: [&str; 19] =
    ["||", "&&", "==", "!=", "<=", ">=", "<<", ">>", "<", ">", "!", "(", ")", "+", "-", "*", "/", "|", "&"];

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut rest = text.trim_start();
    let mut out = Vec::new();
    while let Some(first) = rest.chars().next() {
        let word_end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        if first.is_ascii_digit() {
            out.push(Token::Number(number(&rest[..word_end])?));
            rest = &rest[word_end..];
        } else if word_end > 0 {
            out.push(Token::Name(rest[..word_end].to_owned()));
            rest = &rest[word_end..];
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign))?;
            out.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        }
        rest = rest.trim_start();
    }
    Some(out)
}

fn number(word: &str) -> Option<i128> {
    let word = word.trim_end_matches(['u', 'U', 'l', 'L']);
    match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(hex) => i128::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    name: &'a dyn Fn(&str) -> Option<i128>,
    is_defined: &'a dyn Fn(&str) -> bool,
}

/// Loosest first, as in C; the headers need no others.
const LEVELS: [&[&str]; 8] = [
    &["||"],
    &["&&"],
    &["|"],
    &["&"],
    &["==", "!="],
    &["<", ">", "<=", ">="],
    &["<<", ">>"],
    &["+", "-", "*", "/"],
];

impl Reader<'_> {
    fn sign(&mut self, among: &[&'static str]) -> Option<&'static str> {
        let Some(Token::Sign(sign)) = self.tokens.first() else { return None };
        among.contains(sign).then(|| {
            self.tokens = &self.tokens[1..];
            *sign
        })
    }

    fn binary(&mut self, level: usize) -> Option<i128> {
        let Some(signs) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(sign) = self.sign(signs) {
            let right = self.binary(level + 1)?;
            left = match sign {
                "||" => i128::from(left != 0 || right != 0),
                "&&" => i128::from(left != 0 && right != 0),
                "|" => left | right,
                "&" => left & right,
                "==" => i128::from(left == right),
                "!=" => i128::from(left != right),
                "<" => i128::from(left < right),
                ">" => i128::from(left > right),
                "<=" => i128::from(left <= right),
                ">=" => i128::from(left >= right),
                "<<" => left.checked_shl(u32::try_from(right).ok()?)?,
                ">>" => left.checked_shr(u32::try_from(right).ok()?)?,
                "+" => left.checked_add(right)?,
                "-" => left.checked_sub(right)?,
                "*" => left.checked_mul(right)?,
                _ => left.checked_div(right)?,
            };
        }
        Some(left)
    }

    fn unary(&mut self) -> Option<i128> {
        if self.sign(&["!"]).is_some() {
            return Some(i128::from(self.unary()? == 0));
        }
        if self.sign(&["-"]).is_some() {
            return self.unary()?.checked_neg();
        }
        if self.sign(&["("]).is_some() {
            let inner = self.binary(0)?;
            self.sign(&[")"])?;
            return Some(inner);
        }
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        match first {
            Token::Number(n) => Some(*n),
            Token::Name(word) if word == "defined" => {
                let open = self.sign(&["("]).is_some();
                let (Token::Name(asked), rest) = self.tokens.split_first()? else { return None };
                self.tokens = rest;
                if open {
                    self.sign(&[")"])?;
                }
                Some(i128::from((self.is_defined)(asked)))
            }
            Token::Name(word) if word.ends_with("_BIT") => {
                self.sign(&["("])?;
                let bit = self.binary(0)?;
                self.sign(&[")"])?;
                1i128.checked_shl(u32::try_from(bit).ok()?)
            }
            Token::Name(word) => (self.name)(word),
            Token::Sign(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_follow_names_and_bits() {
        let names = |word: &str| (word == "LAST").then_some(7);
        assert_eq!(value("LAST", &names), Some(7));
        assert_eq!(value("(TOY_BIT(4) - 1) | 0x100ull", &names), Some(0x10f));
        assert_eq!(value("-1", &names), Some(-1));
        assert_eq!(value("LAST + OTHER", &names), None);
        assert_eq!(value("sizeof(x) * 8", &names), None);
    }

    #[test]
    fn conditions_take_unknown_names_for_zero() {
        let on = |word: &str| word == "A" || word == "B";
        let ask = |text| condition(text, &|_| None, &on);
        assert_eq!(ask("defined(A) && !defined(C)"), Some(true));
        assert_eq!(ask("(defined A || defined C) && defined(D)"), Some(false));
        assert_eq!(ask("NODES > 1"), Some(false));
        assert_eq!(ask("defined("), None);
    }
}
