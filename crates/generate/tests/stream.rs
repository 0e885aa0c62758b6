//! Text out of bytes: whole characters, stop texts split anywhere.

use generate::TextStream;
use proptest::prelude::*;

fn stream(stops: &[&str]) -> TextStream {
    TextStream::new(stops.iter().map(|&stop| stop.to_owned()))
}

#[test]
fn a_stop_text_over_several_tokens_is_held_back_and_left_out() {
    let mut stream = stream(&["\nUser:", "###"]);
    let shown: Vec<_> = ["Hello", "\n", "Us", "er", ": no"].iter().map(|token| stream.push(token.as_bytes())).collect();
    assert_eq!(shown, ["Hello", "", "", "", ""]);
    assert!(stream.is_stopped());
    assert_eq!(stream.push(b"more") + &stream.flush(), "");
}

#[test]
fn what_only_looked_like_a_stop_text_is_shown() {
    let mut stream = stream(&["\nUser:"]);
    assert_eq!(stream.push("\nUs".as_bytes()), "");
    assert_eq!(stream.push("ually".as_bytes()), "\nUsually");
    assert_eq!(stream.push("\nUse".as_bytes()) + &stream.flush(), "\nUse");
    assert!(!stream.is_stopped());
}

#[test]
fn the_earliest_stop_text_wins() {
    let mut stream = stream(&["c", "bc"]);
    assert_eq!(stream.push(b"abcd"), "a");
}

#[test]
fn an_incomplete_character_at_the_end_is_replaced() {
    let mut stream = stream(&[]);
    assert_eq!(stream.push(&"李".as_bytes()[..2]), "");
    assert_eq!(stream.flush(), "\u{fffd}");
    // Bytes that can never become a character do not hold up the rest.
    assert_eq!(stream.push(b"\xffabc\xe6a"), "\u{fffd}abc\u{fffd}a");
}

proptest! {
    #[test]
    fn any_split_shows_the_text_before_the_stop(
        text in "[a-cé李🦙]{0,24}",
        stop in "[a-c李]{1,3}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let mut stream = stream(&[&stop]);
        let mut shown = String::new();
        for cut in cuts.windows(2) {
            shown += &stream.push(&text.as_bytes()[cut[0]..cut[1]]);
        }
        prop_assert_eq!(stream.is_stopped(), text.contains(&stop));
        shown += &stream.flush();
        prop_assert_eq!(&shown, text.split(&stop).next().unwrap());
    }
}
