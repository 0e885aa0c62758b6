//! Files that profiles are made of: who says what, in which scene; and segments.

use proptest::prelude::*;
use roles::{Exchange, Language};
use std::io::Write;
use synthesis::{
    estimate_tokens, segments,
    source::{Beat, Names, Script, Source, SourceError},
};

fn script(name: &str, text: &str) -> Script {
    match Source::read(name, text.as_bytes(), "Watson").expect("a script") {
        Source::Script(script) => script,
        Source::Card(_) => panic!("{name} is read as a card"),
    }
}

fn lines(script: &Script) -> Vec<(&str, &str)> {
    let beats = script.scenes.iter().flat_map(|scene| &scene.beats);
    let lines = beats.filter_map(|beat| match beat {
        Beat::Line { speaker, words } => Some((speaker.as_str(), words.as_str())),
        Beat::Narration(_) => None,
    });
    lines.collect()
}

#[test]
fn english_prose_names_speakers_by_verbs_of_saying_and_by_turns() {
    let text = "CHAPTER I\n\nThe fog was thick.\n\n“Who are you?” said the Grey Cat.\n\n“I hardly know,” Alice replied, “just now.”\n\n\
        “Explain yourself!”\n\n“I can’t,” I said.\n\n\"Come in,\" said Mr. Holmes. \"Sit down.\"\n\n\
        He called it a “study” of sorts.";
    let script = script("book.txt", text);
    assert_eq!(script.scenes[0].heading, "CHAPTER I");
    assert_eq!(
        lines(&script),
        [
            ("the Grey Cat", "Who are you?"),
            ("Alice", "I hardly know, just now."),
            ("the Grey Cat", "Explain yourself!"),
            ("Watson", "I can’t,"),
            ("Mr. Holmes", "Come in, Sit down."),
        ]
    );
    let names = Names::new("Sherlock Holmes", &[]);
    assert!(names.mean("Mr. Holmes") && names.mean("SHERLOCK") && !names.mean("Holmesworth"));
    let said = |user: &str, reply: &str| Exchange { user: user.into(), reply: reply.into() };
    let alice = script.dialogue(&Names::new("Alice", &[]));
    assert_eq!(alice, [said("Who are you?", "I hardly know, just now.")]);
}

#[test]
fn chinese_prose_names_speakers_before_and_after_quotations() {
    let text = "第一回　灵根育孕\n\n悟空笑道：“你是谁？”那龙王慌忙答道：“小龙在此。”\n\n行者大怒，上前喝道：“快拿兵器来！”\n\n\
        “没有了。”龙王说。\n\n他自称“齐天大圣”久矣，天下无人不知，无人不晓。";
    let script = script("西游.txt", text);
    assert_eq!(script.language, Language::Zh);
    let expected = [("悟空", "你是谁？"), ("龙王", "小龙在此。"), ("行者", "快拿兵器来！"), ("龙王", "没有了。")];
    assert_eq!(lines(&script), expected);
    let names = Names::new("孙悟空", &["悟空".into(), "行者".into()]);
    let dialogue = script.dialogue(&names);
    assert_eq!(dialogue, [Exchange { user: "小龙在此。".into(), reply: "快拿兵器来！".into() }]);
}

#[test]
fn fountain_and_plain_screenplays_give_scenes_cues_and_action() {
    let text = "Title: The Raft\nAuthor: Nobody\n\nINT. CABIN - NIGHT\n\nThe lamp [[a note]] swings.\n\nNEMO (V.O.)\n(quietly)\nWe dive.\nNow.\n\n\
        CUT TO:\n\nEXT. SEA - DAY\n\n@McAvoy\nWhere?\n\nNEMO ^\nDown.\n";
    for name in ["film.fountain", "film.txt"] {
        let script = script(name, text);
        let headings: Vec<&str> = script.scenes.iter().map(|scene| scene.heading.as_str()).collect();
        assert_eq!(headings, ["INT. CABIN - NIGHT", "EXT. SEA - DAY"], "{name}");
        assert_eq!(lines(&script), [("NEMO", "We dive. Now."), ("McAvoy", "Where?"), ("NEMO", "Down.")]);
        assert_eq!(script.scenes[0].beats[0], Beat::Narration("The lamp  swings.".into()));
    }
}

#[test]
fn subtitles_name_speakers_by_colon_voice_tag_and_dash() {
    let srt = "1\n00:00:01,000 --> 00:00:02,000\nNEMO: We dive.\n\n2\n00:00:03,000 --> 00:00:04,000\n- <i>Where to?</i>\n- Down.\n\n\
        3\n00:01:00,000 --> 00:01:01,000\n(waves)\n";
    let srt = script("film.srt", srt);
    assert_eq!(lines(&srt), [("NEMO", "We dive."), ("", "Where to?"), ("", "Down.")]);
    assert_eq!(srt.scenes.len(), 2, "a long pause begins a scene");
    let vtt = "WEBVTT\n\n00:01.000 --> 00:02.000 align:start\n<v Nemo>We <b>dive</b> &amp; rest.\n\n00:03.000 --> 00:04.000\n李白：好酒！\n";
    assert_eq!(lines(&script("film.vtt", vtt)), [("Nemo", "We dive & rest."), ("李白", "好酒！")]);
}

#[test]
fn an_epub_is_read_along_its_spine() {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let mut add = |name: &str, text: &str| {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).expect("a file");
        archive.write_all(text.as_bytes()).expect("written");
    };
    add(
        "META-INF/container.xml",
        "<container><rootfiles><rootfile full-path=\"OEBPS/book.opf\"/></rootfiles></container>",
    );
    add(
        "OEBPS/book.opf",
        "<package><opf:manifest><opf:item href=\"b%201.xhtml\" id=\"b\"/><item id='a' href='../a.xhtml'/></opf:manifest>\
         <spine><itemref idref=\"a\"/><itemref idref=\"b\"/></spine></package>",
    );
    add(
        "a.xhtml",
        "<html><head><title>x</title></head><body><h1>One</h1><p>&ldquo;Hello,&rdquo; said <i>Ned</i>.</p></body></html>",
    );
    add("OEBPS/b 1.xhtml", "<body><h2>Two</h2><!-- <p>no</p> --><p>Rain &amp;\n wind.<br/>Night.</p></body>");
    let bytes = archive.finish().expect("an archive").into_inner();
    let Source::Script(script) = Source::read("book.epub", &bytes, "N").expect("a book") else { panic!("a card") };
    let headings: Vec<&str> = script.scenes.iter().map(|scene| scene.heading.as_str()).collect();
    assert_eq!(headings, ["One", "Two"]);
    assert_eq!(lines(&script), [("Ned", "Hello,")]);
    assert_eq!(script.scenes[1].beats, [Beat::Narration("Rain & wind.".into()), Beat::Narration("Night.".into())]);
    let error = Source::read("book.epub", b"no zip", "N").expect_err("refused");
    assert!(matches!(error, SourceError::Epub { .. }), "{error}");
}

#[test]
fn bad_files_are_refused_by_name_of_what_is_wrong() {
    let refused = |name: &str, bytes: &[u8]| Source::read(name, bytes, "N").expect_err("refused").to_string();
    assert!(refused("a.txt", b"abc\xff").contains("byte 3"));
    assert!(refused("a.txt", b" \n\n").contains("no text"));
    assert!(refused("a.json", b"{}").contains("name"));
}

proptest! {
    #[test]
    fn any_bytes_under_any_name_are_read_or_refused(
        text in "(\\PC|\n|“|”|：|INT. |NEMO|-->|<v |00:01|道){0,80}", end in prop::sample::select(vec!["txt", "srt", "vtt", "fountain", "epub", "json"]),
    ) {
        let _ = Source::read(&format!("a.{end}"), text.as_bytes(), "N");
    }

    #[test]
    fn segments_hold_all_of_the_text_and_fit(paragraphs in prop::collection::vec("[a-z。 ]{1,200}", 1..30), most in 16u64..80) {
        let script = script("a.txt", &format!("Begin.\n\n{}", paragraphs.join("\n\n")));
        let cut = segments(&script, most);
        let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
        let whole: String = cut.iter().map(|segment| letters(&segment.text)).collect();
        prop_assert_eq!(whole, letters(&script.text()));
        for (at, segment) in cut.iter().enumerate() {
            prop_assert_eq!(segment.index, at);
            // Paragraphs are joined by a letter each.
            prop_assert!(estimate_tokens(&segment.text) <= most + 1 + segment.text.lines().count() as u64 / 4);
        }
    }
}
