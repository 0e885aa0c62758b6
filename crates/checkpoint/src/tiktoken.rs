//! A tiktoken file: byte-level BPE as lines of a token in base64 and its rank, which is its id.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::collections::HashMap;

/// The tokens of a tiktoken file by their rank.
pub struct Ranks {
    tokens: Vec<Vec<u8>>,
    ranks: HashMap<Vec<u8>, u32>,
}

impl Ranks {
    /// Reads a file; the error says what is wrong with it, and in which line.
    pub fn parse(bytes: &[u8]) -> Result<Ranks, String> {
        let text = str::from_utf8(bytes).map_err(|_| "it is neither a SentencePiece model nor a tiktoken file")?;
        let mut ranks = HashMap::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let Some((token, rank)) = parse_line(line) else {
                return Err(format!("line {number} is not a token in base64 and its rank"));
            };
            if ranks.insert(token, rank).is_some() {
                return Err(format!("the token of line {number} has a rank already"));
            }
        }
        let mut by_rank: Vec<(u32, &Vec<u8>)> = ranks.iter().map(|(token, rank)| (*rank, token)).collect();
        by_rank.sort_unstable();
        if let Some((rank, _)) = (0..).zip(&by_rank).find(|(expected, (rank, _))| expected != rank) {
            return Err(format!("the rank {rank} is missing or comes twice"));
        }
        if let Some(byte) = (0..=255).find(|&byte| !ranks.contains_key(&[byte][..])) {
            return Err(format!("the byte {byte} has no token"));
        }
        Ok(Ranks { tokens: by_rank.into_iter().map(|(_, token)| token.clone()).collect(), ranks })
    }

    /// The tokens in the order of their ids, in the letters of byte-level BPE.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = String> {
        self.tokens.iter().map(|token| spell(token))
    }

    /// The merges that give the tokens that tiktoken gives, which knows none: it merges whatever two neighbours make the
    /// token of the lowest rank. What happens within a token does not depend on what stands around it, so the last step
    /// in its own bytes is the only one that ever makes it. A token that its bytes do not become is found as a whole
    /// word only.
    pub fn merges(&self) -> Vec<String> {
        let longer = self.tokens.iter().filter(|token| token.len() > 1);
        longer
            .filter_map(|token| self.last_merge(token))
            .map(|[left, right]| spell(left) + " " + &spell(right))
            .collect()
    }

    fn last_merge<'a>(&self, token: &'a [u8]) -> Option<[&'a [u8]; 2]> {
        let mut bounds: Vec<usize> = (0..=token.len()).collect();
        while bounds.len() > 3 {
            let pairs = bounds.windows(3).enumerate();
            let ranked = pairs.filter_map(|(i, pair)| Some((self.ranks.get(&token[pair[0]..pair[2]])?, i)));
            let (_, first) = ranked.min()?;
            bounds.remove(first + 1);
        }
        let (left, right) = token.split_at(bounds[1]);
        Some([left, right])
    }
}

fn parse_line(line: &str) -> Option<(Vec<u8>, u32)> {
    let (token, rank) = line.trim().split_once(' ')?;
    let token = BASE64_STANDARD.decode(token).ok().filter(|token| !token.is_empty())?;
    Some((token, rank.parse().ok()?))
}

/// Printable Latin-1 stands for itself, the other bytes for the letters from U+0100 on in order.
fn spell(bytes: &[u8]) -> String {
    let letter = |&byte: &u8| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => u32::from(byte),
        0..=b' ' => 0x100 + u32::from(byte),
        0x7f..=0xa0 => 0x121 + u32::from(byte - 0x7f),
        0xad => 0x143,
    };
    bytes.iter().filter_map(|byte| char::from_u32(letter(byte))).collect()
}
