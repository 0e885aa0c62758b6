//! The text chunks of a PNG file, without decoding a pixel.

const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";

/// Is this the start of a PNG file?
pub fn is_png(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE)
}

/// The value of the first `tEXt` chunk under `keyword`; stops quietly where the file is cut off.
pub fn text_chunk<'a>(bytes: &'a [u8], keyword: &str) -> Option<&'a [u8]> {
    let mut rest = bytes.strip_prefix(SIGNATURE)?;
    loop {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let data = after.get(..length)?;
        if kind == b"tEXt"
            && let Some(value) = data.strip_prefix(keyword.as_bytes())
            && let Some(value) = value.strip_prefix(b"\0")
        {
            return Some(value);
        }
        rest = after.get(length.checked_add(4)?..)?;
    }
}
