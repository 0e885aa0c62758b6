//! The names of a split GGUF's parts: `name-00001-of-00003.gguf` and so on, as llama.cpp writes them.

use std::ops::Range;

/// Where a name says which part it is.
#[derive(Debug, PartialEq, Eq)]
struct Numbers {
    digits: Range<usize>,
    part: usize,
    parts: usize,
}

impl Numbers {
    /// Of a name or an address; what follows `?` or `#` is none of it.
    fn of(name: &str) -> Option<Self> {
        let path = name.split(['?', '#']).next()?;
        let stem = path.strip_suffix(".gguf")?;
        let (rest, parts) = stem.rsplit_once("-of-")?;
        let (start, part) = rest.rsplit_once('-')?;
        let digits = start.len() + 1..rest.len();
        if part.len() != 5 || parts.len() != 5 {
            return None;
        }
        let (part, parts) = (part.parse().ok()?, parts.parse().ok()?);
        (1..=parts).contains(&part).then_some(Self { digits, part, parts })
    }

    /// The name of another part.
    fn other(&self, name: &str, part: usize) -> String {
        let (start, end) = (&name[..self.digits.start], &name[self.digits.end..]);
        format!("{start}{part:05}{end}")
    }
}

/// The names of all parts of the model that `name` belongs to, in order; `name` itself where it is whole.
pub fn all_parts(name: &str) -> Vec<String> {
    match Numbers::of(name) {
        Some(numbers) => (1..=numbers.parts).map(|part| numbers.other(name, part)).collect(),
        None => vec![name.to_owned()],
    }
}

/// In which order files with these names make one model.
///
/// # Errors
/// Words for people: which parts are missing, or what else is wrong.
pub fn order(names: &[String]) -> Result<Vec<usize>, String> {
    let Some(first) = names.first() else { return Err("no file was given".into()) };
    let wanted = all_parts(first);
    let missing: Vec<&str> = wanted.iter().filter(|name| !names.contains(name)).map(String::as_str).collect();
    if !missing.is_empty() {
        let (count, list) = (wanted.len(), missing.join(", "));
        return Err(format!("this model is split into {count} parts; missing: {list}. Give all parts at once"));
    }
    if let Some(stranger) = names.iter().find(|name| !wanted.contains(name)) {
        return Err(format!("{stranger} is no part of the model of {first}; one model at a time"));
    }
    Ok(wanted.iter().filter_map(|wanted| names.iter().position(|name| name == wanted)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn addresses_keep_what_stands_around_the_number() {
        let parts = all_parts("https://host/m-00002-of-00003.gguf?download=true");
        assert_eq!(parts[0], "https://host/m-00001-of-00003.gguf?download=true");
        assert_eq!(parts[2], "https://host/m-00003-of-00003.gguf?download=true");
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn other_names_are_whole() {
        for name in ["m.gguf", "m-00003-of-00002.gguf", "m-1-of-2.gguf", "m-00000-of-00002.gguf", "m-00001-of-00002"] {
            assert_eq!(all_parts(name), [name]);
        }
    }

    #[test]
    fn parts_come_in_order() {
        let given = names(&["m-00002-of-00002.gguf", "m-00001-of-00002.gguf"]);
        assert_eq!(order(&given), Ok(vec![1, 0]));
        assert_eq!(order(&names(&["whole.gguf"])), Ok(vec![0]));
    }

    #[test]
    fn missing_parts_are_named() {
        let error = order(&names(&["m-00002-of-00003.gguf"])).unwrap_err();
        assert!(error.contains("m-00001-of-00003.gguf, m-00003-of-00003.gguf"), "{error}");
    }

    #[test]
    fn strangers_are_named() {
        let error = order(&names(&["a.gguf", "b.gguf"])).unwrap_err();
        assert!(error.contains("b.gguf"), "{error}");
    }
}
