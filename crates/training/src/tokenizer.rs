//! Byte-level BPE: training, and encoding of documents.
//!
//! The pre-tokenizer splits like Qwen2's (single digits, runs of letters, runs of punctuation), which llama.cpp
//! knows as `tokenizer.ggml.pre = "qwen2"`; the vocabulary holds all 256 bytes, so no text is out of reach.

use crate::document::chat_template;
use crate::{Error, Result};
use serde_json::json;
use std::path::Path;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, TokenizerBuilder, TokenizerImpl,
};

/// Starts every document.
pub const BOS: &str = "<s>";
/// Ends every document and every message.
pub const EOS: &str = "</s>";
/// Never trained; for tools that want a padding token.
pub const PAD: &str = "<pad>";
/// Id of [`BOS`].
pub const BOS_ID: u32 = 0;
/// Id of [`EOS`].
pub const EOS_ID: u32 = 1;
/// Id of [`PAD`].
pub const PAD_ID: u32 = 2;
/// The smallest vocabulary: special tokens and bytes.
pub const MIN_VOCAB_SIZE: usize = 3 + 256;
/// The pre-tokenizer's name in llama.cpp.
pub const GGML_PRE: &str = "qwen2";

/// Letters with one leading sign, single digits, punctuation with the line ends after it, white space.
const SPLIT: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Longest token in bytes; longer ones would be whole sentences of the training data.
const MAX_TOKEN_BYTES: usize = 24;

type Bpe = TokenizerImpl<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// A trained tokenizer. Text never becomes special tokens; those are added by their ids.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// Learns `vocab_size` tokens from `texts`; fewer where the texts do not give so many.
    pub fn train(texts: &[String], vocab_size: usize) -> Result<Tokenizer> {
        if vocab_size < MIN_VOCAB_SIZE {
            return Err(Error::Argument(format!("--vocab-size {vocab_size}: at least {MIN_VOCAB_SIZE} are needed")));
        }
        let split = Split::new(SplitPattern::Regex(SPLIT.into()), SplitDelimiterBehavior::Isolated, false);
        let bytes = ByteLevel::new(false, false, false);
        let pre_tokenizer = Sequence::new(vec![split.map_err(failed)?.into(), bytes.into()]);
        let mut bpe: Bpe = TokenizerBuilder::default()
            .with_model(BPE::default())
            .with_normalizer(None)
            .with_pre_tokenizer(Some(pre_tokenizer.into()))
            .with_post_processor(None)
            .with_decoder(Some(bytes.into()))
            .build()
            .map_err(failed)?;
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocab_size)
            .min_frequency(2)
            .show_progress(false)
            .max_token_length(Some(MAX_TOKEN_BYTES))
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens([BOS, EOS, PAD].map(|t| AddedToken::from(t, true)).to_vec())
            .build();
        bpe.train(&mut trainer, texts.iter()).map_err(failed)?;
        let text = bpe.to_string(false).map_err(failed)?;
        Tokenizer::from_bytes(text.as_bytes())
    }

    /// Reads `tokenizer.json` of `folder`.
    pub fn load(folder: &Path) -> Result<Tokenizer> {
        let path = folder.join("tokenizer.json");
        Tokenizer::from_bytes(&std::fs::read(&path).map_err(Error::io(&path))?)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Tokenizer> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(failed)?;
        for (token, id) in [(BOS, BOS_ID), (EOS, EOS_ID), (PAD, PAD_ID)] {
            if inner.token_to_id(token) != Some(id) {
                let found = inner.token_to_id(token);
                return Err(Error::Tokenizer(format!("{token} must have id {id}, has {found:?}").into()));
            }
        }
        inner.set_encode_special_tokens(true);
        Ok(Tokenizer { inner })
    }

    /// Writes `tokenizer.json` and `tokenizer_config.json` with the chat template.
    pub fn save(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        self.inner.save(folder.join("tokenizer.json"), true).map_err(failed)?;
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": EOS,
            "pad_token": PAD,
            "add_bos_token": false,
            "add_eos_token": false,
            "clean_up_tokenization_spaces": false,
            "ggml_pre": GGML_PRE,
            "chat_template": chat_template(),
        });
        let path = folder.join("tokenizer_config.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&config).expect("plain JSON")).map_err(Error::io(&path))
    }

    /// Number of tokens, special ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The tokens of `text`.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.inner.encode_fast(text, false).map_err(failed)?.get_ids().to_vec())
    }

    /// The text of `tokens`; special tokens are written out.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.inner.decode(tokens, false).map_err(failed)
    }
}

fn failed(source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Tokenizer(source)
}
