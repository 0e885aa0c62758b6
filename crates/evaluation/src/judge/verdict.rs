//! What a judge wrote, read as leniently as can be without guessing.

use serde_json::Value;

/// Which of two answers is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The one that was shown first.
    First,
    /// The one that was shown second.
    Second,
    /// Neither.
    Neither,
}

/// A verdict on two answers: an object with `better` as 1, 2 or 0. Nothing where it is anything else.
pub fn read_pair(text: &str) -> Option<(Better, String)> {
    let value = json_in(text, '{', '}')?;
    let better = match number(value.get("better")?)? {
        1 => Better::First,
        2 => Better::Second,
        0 => Better::Neither,
        _ => return None,
    };
    Some((better, reason(&value)))
}

/// The ranks of `count` answers in the order in which they were shown, from 1, ties allowed: a list of objects with
/// `answer` and `rank`. Nothing where an answer is missing, named twice or without a possible rank.
pub fn read_ranks(text: &str, count: usize) -> Option<Vec<usize>> {
    let value = json_in(text, '[', ']')?;
    let mut ranks = vec![None; count];
    for entry in value.as_array()? {
        let answer = usize::try_from(number(entry.get("answer")?)?).ok()?;
        let rank = usize::try_from(number(entry.get("rank")?)?).ok()?;
        let place = ranks.get_mut(answer.checked_sub(1)?)?;
        if place.is_some() || !(1..=count).contains(&rank) {
            return None;
        }
        *place = Some(rank);
    }
    let ranks: Vec<usize> = ranks.into_iter().collect::<Option<_>>()?;
    // Someone is first.
    ranks.contains(&1).then_some(ranks)
}

fn reason(value: &Value) -> String {
    value.get("reason").and_then(Value::as_str).unwrap_or_default().to_string()
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The JSON between the first opening bracket and the last closing one: words and fences around it do not matter. Some
/// judges write Python.
fn json_in(text: &str, open: char, close: char) -> Option<Value> {
    let inner = text.get(text.find(open)?..=text.rfind(close)?)?;
    serde_json::from_str(inner).or_else(|_| serde_json::from_str(&inner.replace('\'', "\""))).ok()
}
