use crate::ManifestError;

/// Longer names are refused: file systems do the same.
const MOST: usize = 240;

/// A name that means the same file in an address and in a folder, on every system, and none outside: segments of letters of
/// any script, digits, spaces and `-_.+,()@`, with `/` between them; no segment begins or ends with a dot or a space.
///
/// # Errors
/// What is wrong with the name.
pub fn check_name(name: &str) -> Result<(), ManifestError> {
    let refuse = |reason| Err(ManifestError::Name { name: name.chars().take(MOST).collect(), reason });
    if name.len() > MOST {
        return refuse("it is too long");
    }
    if let Some(sign) = name.chars().find(|&sign| !(sign.is_alphanumeric() || "-_.+,()@ /".contains(sign))) {
        return refuse(if sign == '\\' || sign == ':' { "it is no relative path" } else { "it has a forbidden sign" });
    }
    for segment in name.split('/') {
        if segment.is_empty() {
            return refuse("it is no relative path");
        }
        if segment.starts_with(['.', ' ']) || segment.ends_with(['.', ' ']) {
            return refuse("a part of it begins or ends with a dot or a space");
        }
    }
    Ok(())
}
