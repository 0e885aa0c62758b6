use std::{collections::HashMap, fmt};

use decoder::Gguf;
use tokenizers::{
    Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior,
    models::bpe::{BPE, Vocab},
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

use super::{PreTokenization, Vocabulary, unusable};
use crate::Error;

/// Byte-level BPE: the text is split into words by the model's own rule, each byte becomes a character, merges follow their rank.
pub struct ByteBpe {
    model: BPE,
    words: PreTokenizerWrapper,
    bytes: HashMap<char, u8>,
}

impl ByteBpe {
    pub fn from_gguf(gguf: &Gguf, vocabulary: &Vocabulary, rule: &PreTokenization) -> Result<Self, Error> {
        let failed = |error: tokenizers::Error| unusable(error.to_string());
        let merges = gguf.require("tokenizer.ggml.merges", Gguf::get_strings)?;
        let merges = merges.iter().map(|merge| pair(merge)).collect::<Result<_, _>>()?;
        let ids: Vocab = vocabulary.texts.iter().cloned().zip(0..).collect();
        let model = BPE::builder().vocab_and_merges(ids, merges).ignore_merges(rule.whole_words);
        let model = model.build().map_err(failed)?;
        let mut steps = Vec::new();
        for &pattern in rule.patterns {
            let pattern = SplitPattern::Regex(pattern.into());
            steps.push(Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(failed)?.into());
        }
        steps.push(ByteLevel::new(false, true, false).into());
        Ok(Self { model, words: Sequence::new(steps).into(), bytes: byte_characters().collect() })
    }

    /// Appends the ids of `text`.
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), Error> {
        let failed = |error: tokenizers::Error| unusable(error.to_string());
        let mut words = PreTokenizedString::from(text);
        self.words.pre_tokenize(&mut words).map_err(failed)?;
        words.tokenize(|word| self.model.tokenize(word.get())).map_err(failed)?;
        for (_, _, tokens) in words.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            out.extend(tokens.iter().flatten().map(|token| token.id));
        }
        Ok(())
    }

    /// The bytes that a token's text spells; characters outside the byte alphabet are kept as they are.
    pub fn bytes(&self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len());
        for c in text.chars() {
            match self.bytes.get(&c) {
                Some(&byte) => bytes.push(byte),
                None => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            }
        }
        bytes
    }
}

impl fmt::Debug for ByteBpe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteBpe").finish_non_exhaustive()
    }
}

fn pair(merge: &str) -> Result<(String, String), Error> {
    // A part may begin with a space in no vocabulary, so the first space after the first character separates.
    let separator = merge.char_indices().skip(1).find(|&(_, c)| c == ' ').map(|(index, _)| index);
    let separator = separator.ok_or_else(|| unusable(format!("the merge {merge:?} is no pair")))?;
    Ok((merge[..separator].to_owned(), merge[separator + 1..].to_owned()))
}

/// The character that spells each byte: printable Latin-1 as itself, the others from U+0100 on in order.
fn byte_characters() -> impl Iterator<Item = (char, u8)> {
    let mut others = '\u{100}'..;
    (0..=255u8).filter_map(move |byte| {
        let printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let c = if printable { Some(byte as char) } else { others.next() };
        c.map(|c| (c, byte))
    })
}
