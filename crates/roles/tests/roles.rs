//! Roles, cards and conversations through the public interface.

use base64::Engine as _;
use proptest::prelude::*;
use roles::{Card, Conversation, Language, Message, Role, Speaker, messages};

fn refusal(bytes: &[u8]) -> String {
    Card::read(bytes).expect_err("this card must be refused").to_string()
}

/// A PNG of one text chunk; readers of text chunks do not look at the check sums.
fn png(keyword: &str, json: &str) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.encode(json);
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", vec![0; 13]), (b"tEXt", [keyword.as_bytes(), b"\0", text.as_bytes()].concat())] {
        bytes.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(kind);
        bytes.extend(data);
        bytes.extend([0; 4]);
    }
    bytes
}

#[test]
fn a_v2_card_becomes_a_role_with_its_names_filled_in() {
    let card = Card::read(
        br#"{"spec":"chara_card_v2","spec_version":"2.0","data":{"name":"Ada","description":"{{Char}} helps {{user}}.",
        "first_mes":"Hello, <USER>!","mes_example":"<START>\n{{user}}: Who are you?\n{{char}}: I am Ada."}}"#,
    )
    .unwrap();
    let role = card.role("Tom");
    assert_eq!(
        (role.id.as_str(), role.description.as_str(), role.greeting.as_str()),
        ("ada", "Ada helps Tom.", "Hello, Tom!")
    );
    assert_eq!(card.examples("Tom")[0].reply, "I am Ada.");
}

#[test]
fn v1_cards_and_pngs_are_read_and_v3_comes_before_v2() {
    assert_eq!(
        Card::read(r#"{"name":"李白","description":"你是诗人。"}"#.as_bytes()).unwrap().role("我").language,
        Language::Zh
    );
    let mut both = png("chara", r#"{"spec":"chara_card_v2","data":{"name":"old"}}"#);
    both.extend(&png("ccv3", r#"{"spec":"chara_card_v3","data":{"name":"new"}}"#)[8..]);
    assert_eq!(Card::read(&both).unwrap().name(), "new");
}

#[test]
fn bad_cards_are_refused_in_words() {
    assert!(refusal(br#"{"spec":"chara_card_v2","data":{"description":"x"}}"#).contains("\"name\" is missing"));
    assert!(refusal(br#"{"name":"  "}"#).contains("\"name\" is empty"));
    assert!(refusal(br#"{"name":7}"#).contains("not text"));
    assert!(refusal(b"[1,2]").contains("a list"));
    assert!(refusal(b"hello").contains("not a character card"));
    assert!(refusal(br#"{"spec":"lorebook_v3","data":{"name":"x"}}"#).contains("lorebook_v3"));
    assert!(refusal(b"\x89PNG\r\n\x1a\n").contains("carries no character"));
}

#[test]
fn the_cards_at_hand_are_read() {
    let Ok(fixtures) = std::env::var("FIXTURES_DIR") else {
        eprintln!("skipped: set FIXTURES_DIR");
        return;
    };
    let read = |name: &str| Card::read(&std::fs::read(format!("{fixtures}/cards/{name}")).unwrap());
    for name in ["ccv2_min.json", "ccv3_min.json", "seraphina.v2.json", "test_character.png"] {
        assert!(!read(name).unwrap().name().is_empty(), "{name}");
    }
    assert!(read("invalid_missing_name.json").unwrap_err().to_string().contains("name"));
}

#[test]
fn a_role_file_needs_its_fields() {
    let wrong = Role::from_json(r#"{"id":"x","name":"","language":"en","description":"d"}"#).unwrap_err().to_string();
    assert!(wrong.contains("\"name\" is empty"), "{wrong}");
    assert!(Role::from_json(r#"{"id":"x"}"#).unwrap_err().to_string().contains("name"));
}

#[test]
fn the_system_instruction_holds_name_description_and_catchphrases() {
    let role = Role {
        name: "Sherlock Holmes".into(),
        description: "You solve crimes.".into(),
        catchphrases: vec!["Elementary.".into(), "The game is afoot!".into()],
        ..Role::default()
    };
    assert_eq!(
        role.system_instruction(),
        "You are Sherlock Holmes. You solve crimes.\nYour catchphrases: Elementary. / The game is afoot!"
    );
    let asked = messages(&role, [Message::new(Speaker::User, "Hello")]);
    assert_eq!((asked[0].speaker, asked[1].content.as_str()), (Speaker::System, "Hello"));
}

#[test]
fn regenerating_adds_a_variant_and_keeps_the_first() {
    let mut talk = Conversation::default();
    let question = talk.add(None, Message::new(Speaker::User, "q"));
    let first = talk.add(Some(question), Message::new(Speaker::Assistant, "a1"));
    let second = talk.add(Some(question), Message::new(Speaker::Assistant, "a2"));
    let shown = |talk: &Conversation| talk.turns().iter().map(|turn| turn.message.content.clone()).collect::<Vec<_>>();
    assert_eq!(shown(&talk), ["q", "a2"]);
    assert_eq!((talk.turns()[1].variant, talk.turns()[1].variants), (1, 2));
    assert_eq!(talk.sibling(second, -1), Some(first));
    assert_eq!(talk.sibling(second, 1), None);
    talk.choose(first);
    assert_eq!(shown(&talk), ["q", "a1"]);
    assert_eq!(talk.messages_up_to(question).len(), 1);
}

proptest! {
    #[test]
    fn no_bytes_make_the_card_reader_panic(bytes: Vec<u8>) {
        let _ = Card::read(&bytes);
        let _ = Card::read(&[b"\x89PNG\r\n\x1a\n", bytes.as_slice()].concat());
    }
}
