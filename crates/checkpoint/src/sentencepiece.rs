//! The pieces of a SentencePiece model: the few fields of its protocol buffer that a vocabulary needs.

/// A token of a SentencePiece model.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    pub text: String,
    pub score: f32,
    /// 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte: GGUF's numbers, too.
    pub kind: i32,
}

/// What a tokenizer.model holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub pieces: Vec<Piece>,
    /// Whether a space is put before a text.
    pub adds_space: bool,
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// Reads a model; `None` where the bytes are no such protocol buffer.
pub fn parse(bytes: &[u8]) -> Option<Model> {
    let mut model = Model { pieces: Vec::new(), adds_space: true };
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(piece)) => model.pieces.push(parse_piece(piece)?),
            (3, Field::Bytes(normalizer)) => {
                for field in fields(normalizer) {
                    if let (3, Field::Number(flag)) = field? {
                        model.adds_space = flag != 0;
                    }
                }
            }
            _ => {}
        }
    }
    (!model.pieces.is_empty()).then_some(model)
}

fn parse_piece(bytes: &[u8]) -> Option<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: 1 };
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(text)) => piece.text = String::from_utf8(text.to_vec()).ok()?,
            (2, Field::Fixed32(score)) => piece.score = f32::from_bits(score),
            (3, Field::Number(kind)) => piece.kind = i32::try_from(kind).ok()?,
            _ => {}
        }
    }
    Some(piece)
}

/// The fields of a message with their numbers; `None` ends a damaged one.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Option<(u64, Field<'_>)>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let field = take_field(&mut bytes);
        if field.is_none() {
            bytes = &[];
        }
        Some(field)
    })
}

fn take_field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = take_number(bytes)?;
    let field = match tag & 7 {
        0 => Field::Number(take_number(bytes)?),
        1 => {
            take(bytes, 8)?;
            Field::Bytes(&[])
        }
        2 => {
            let len = usize::try_from(take_number(bytes)?).ok()?;
            Field::Bytes(take(bytes, len)?)
        }
        5 => Field::Fixed32(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?)),
        _ => return None,
    };
    Some((tag >> 3, field))
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
