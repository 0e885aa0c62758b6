//! Requests over HTTP to a server that fails: none lost, none paid twice, limits and budget kept, no key anywhere.

mod common;

use common::{FAULTS, Mock};
use futures_util::{StreamExt, stream};
use roles::{Language, Message, Speaker};
use serde_json::json;
use std::{collections::HashMap, fs, path::Path, time::Duration};
use synthesis::{
    Dispatcher, Durability, Endpoint, Failure, Journal, JournalError, Price, Reject, Request, Retries, Sampling, Stage,
    check,
    limits::{Breaker, Pace},
    parse_triplets,
    teacher::{OpenAi, Scripted, Secret, Teacher, TeacherError},
};

const KEY: &str = "sk-test-0123456789-abcdefghij";

fn request(number: usize) -> Request {
    Request {
        stage: Stage::Reference,
        messages: vec![Message::new(Speaker::User, format!("Question {number}?"))],
        sampling: Sampling::paper(50),
        json: false,
        sample: 0,
    }
}

fn retries() -> Retries {
    Retries { first_wait: Duration::from_millis(2), longest_wait: Duration::from_millis(20), ..Retries::default() }
}

fn journal(folder: &Path) -> Journal {
    Journal::open(&folder.join("journal.jsonl"), Durability::Second).expect("a journal")
}

fn http(address: &str) -> Endpoint {
    let timeout = Duration::from_millis(300);
    Endpoint::new(Box::new(OpenAi::new(address, "mock", Secret::new(KEY), timeout).expect("a client")), 64)
}

fn scripted(script: impl Fn(&Request) -> Result<String, TeacherError> + Send + Sync + 'static) -> Endpoint {
    Endpoint::new(Box::new(Scripted::new("script", script)), 8)
}

async fn ask_all(dispatcher: &Dispatcher, count: usize) -> Vec<Result<String, Failure>> {
    let requests: Vec<Request> = (0..count).map(request).collect();
    let answers = dispatcher.ask_all(&requests).await;
    answers.into_iter().map(|answer| answer.map(|answer| answer.text)).collect()
}

/// One time in twenty each: fenced and broken JSON, a wrong language, a refusal, two breaks of character.
fn written(question: &str, number: u64) -> String {
    let list =
        json!({"items": [{"question": question, "completeness": "High", "reason": "r", "answer": "a"}]}).to_string();
    match number % 20 {
        0 => format!("Here you are:\n```json\n{list}\n```"),
        1 => list[..list.len() - 12].to_string(),
        2 => format!("这个回答是用另一种语言写的，问题是这样的：{question}"),
        3 => format!("I'm sorry, but I can't help with that. ({question})"),
        4 => format!("As an AI language model, I have no opinions. ({question})"),
        5 => format!("Staying in character, I would say yes. ({question})"),
        _ => format!("The sea gives everything, and so I answer: {question}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_to_a_failing_server_are_answered_once_each_or_recorded_as_failed() {
    const COUNT: usize = 10_000;
    let folder = tempfile::tempdir().expect("a folder");
    let mock =
        Mock::new(5, |request, number| written(request["messages"][0]["content"].as_str().unwrap_or(""), number));
    let address = mock.serve().await;

    let dispatcher = Dispatcher::new(vec![http(&address)], journal(folder.path()), None, retries());
    let answers = ask_all(&dispatcher, COUNT).await;
    let mut kinds: HashMap<Option<Reject>, usize> = HashMap::new();
    for (number, answer) in answers.iter().enumerate() {
        match answer {
            Ok(text) => {
                assert!(text.contains(&format!("Question {number}?")), "{text}");
                let rejected = if text.contains("items") {
                    (parse_triplets(text).len() != 1).then_some(Reject::Unreadable)
                } else {
                    check(text, Language::En).err()
                };
                *kinds.entry(rejected).or_default() += 1;
            }
            Err(failure) => assert!(matches!(failure, Failure::GaveUp { .. }), "{failure}"),
        }
    }
    // Every bad text is found out, and no good one is taken for bad.
    for kind in [Reject::Unreadable, Reject::AiIdentity, Reject::RoleIdentity, Reject::Rejection, Reject::WrongLanguage]
    {
        let found = kinds.remove(&Some(kind)).unwrap_or(0);
        assert!((COUNT / 25..COUNT / 16).contains(&found), "{kind:?}: {found}");
    }
    assert_eq!(kinds.into_keys().collect::<Vec<_>>(), [None]);
    let failed = answers.iter().filter(|answer| answer.is_err()).count();
    let tally = dispatcher.tally();
    assert_eq!((tally.answered + tally.failed, tally.failed, tally.in_doubt), (COUNT, failed, 0));
    for fault in FAULTS {
        assert!(mock.faults().get(&fault).copied().unwrap_or(0) > COUNT / 50, "{:?}", mock.faults());
    }
    let seen = mock.seen();
    assert_eq!(seen.len(), COUNT);
    assert_eq!(seen.values().filter(|seen| seen.delivered > 1).count(), 0, "an answer was sent twice");
    assert_eq!(seen.values().filter(|seen| seen.delivered == 1).count(), COUNT - failed);
    drop(dispatcher);

    // A second run asks for nothing but what failed.
    let asked_before: u64 = seen.values().map(|seen| seen.asked).sum();
    let dispatcher = Dispatcher::new(vec![http(&address)], journal(folder.path()), None, retries());
    ask_all(&dispatcher, COUNT).await;
    assert_eq!(dispatcher.progress().remembered, COUNT - failed);
    let asked: u64 = mock.seen().values().map(|seen| seen.asked).sum();
    assert!(failed > 0 || asked == asked_before);
    let text = fs::read_to_string(folder.path().join("journal.jsonl")).expect("the journal");
    assert!(!text.contains(KEY), "the key is in the journal");
}

#[tokio::test]
async fn a_key_is_in_no_error_and_in_no_journal_though_the_server_repeats_it() {
    let folder = tempfile::tempdir().expect("a folder");
    // Every attempt ends in a 500 that repeats the header.
    let mock = Mock::new(100, |_, _| String::new());
    let address = mock.serve().await;
    let teacher = OpenAi::new(&address, "mock", Secret::new(KEY), Duration::from_millis(100)).expect("a client");
    assert!(!format!("{teacher:?}").contains(KEY));
    let retries = Retries { attempts: 3, ..retries() };
    let dispatcher = Dispatcher::new(vec![http(&address)], journal(folder.path()), None, retries);
    let outcomes = ask_all(&dispatcher, 60).await;
    let errors: Vec<String> = outcomes.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect();
    let journal = fs::read_to_string(folder.path().join("journal.jsonl")).expect("the journal");
    let log = format!("{journal}{}", errors.join("\n"));
    assert!(!errors.is_empty() && !log.contains(KEY) && !log.contains(&KEY[..8]), "{log}");
    let hidden = Secret::new(KEY).hide_in(&format!("cannot serve Bearer {KEY}"));
    assert_eq!(hidden, "cannot serve Bearer [key]");
}

#[tokio::test]
async fn equal_requests_at_once_are_one_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let mock = Mock::new(0, |_, _| "yes".into());
    let address = mock.serve().await;
    let dispatcher = Dispatcher::new(vec![http(&address)], journal(folder.path()), None, retries());
    let request = request(1);
    let answers: Vec<_> = stream::iter((0..40).map(|_| dispatcher.ask(&request))).buffered(40).collect().await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.text == "yes")));
    assert_eq!(mock.seen().values().map(|seen| seen.asked).sum::<u64>(), 1);
}

#[tokio::test]
async fn the_budget_is_not_passed_and_the_run_can_go_on_with_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let price = Price { input: 0.0, output: 1e6 / 50.0 };
    // Each reply may cost 1 and costs less.
    let endpoint = || scripted(|_| Ok("four letters a token".into())).with_price(price);
    let dispatcher = Dispatcher::new(vec![endpoint()], journal(folder.path()), Some(3.0), retries());
    let mut answered = 0;
    let failure = loop {
        match dispatcher.ask(&request(answered)).await {
            Ok(_) => answered += 1,
            Err(failure) => break failure,
        }
    };
    assert!(matches!(failure, Failure::Budget { .. }) && failure.ends_the_run(), "{failure}");
    assert!(dispatcher.progress().spent > 2.0 && dispatcher.progress().spent <= 3.0);
    drop(dispatcher);
    let dispatcher = Dispatcher::new(vec![endpoint()], journal(folder.path()), Some(6.0), retries());
    assert!(dispatcher.progress().spent > 2.0, "money of earlier runs counts");
    assert!(dispatcher.ask(&request(answered)).await.is_ok());
}

#[tokio::test]
async fn teachers_share_the_work_by_weight_and_a_useless_one_is_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let named = |name: &'static str| -> Endpoint {
        Endpoint::new(Box::new(Scripted::new(name, move |_| Ok(name.into()))) as Box<dyn Teacher>, 4)
    };
    let useless = Endpoint::new(
        Box::new(Scripted::new("useless", |_| Err(TeacherError::Unusable { reason: "no such model".into() }))),
        4,
    );
    let endpoints = vec![named("one"), named("three").with_weight(3), useless];
    let dispatcher = Dispatcher::new(endpoints, journal(folder.path()), None, retries());
    let mut counts = [0, 0];
    for number in 0..400 {
        match dispatcher.ask(&request(number)).await.expect("an answer").text.as_str() {
            "one" => counts[0] += 1,
            _ => counts[1] += 1,
        }
    }
    assert_eq!(counts, [100, 300]);
}

#[tokio::test]
async fn a_refused_request_is_not_asked_again_and_a_useless_teacher_ends_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let refuses = scripted(|_| Err(TeacherError::Refused { reason: "too long".into() }));
    let dispatcher = Dispatcher::new(vec![refuses], journal(folder.path()), None, retries());
    let failure = dispatcher.ask(&request(0)).await.expect_err("refused");
    assert!(matches!(failure, Failure::Refused { .. }) && !failure.ends_the_run());
    drop(dispatcher);
    let useless = scripted(|_| Err(TeacherError::Unusable { reason: "wrong key".into() }));
    let dispatcher = Dispatcher::new(vec![useless], journal(folder.path()), None, retries());
    let failure = dispatcher.ask(&request(0)).await.expect_err("nobody to ask");
    assert!(failure.ends_the_run() && failure.to_string().contains("wrong key"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_pace_is_kept_over_minutes() {
    let pace = Pace::new(60);
    let start = tokio::time::Instant::now();
    for _ in 0..125 {
        pace.take(1.0).await;
    }
    // The first five may go at once, then one a second.
    let seconds = start.elapsed().as_secs();
    assert!((118..=121).contains(&seconds), "{seconds}");
    pace.give_back(60.0);
    pace.take(1.0).await;
    assert!(start.elapsed().as_secs() <= seconds + 1);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_rests_longer_each_time_and_lets_one_trial_pass() {
    let second = Duration::from_secs(1);
    let breaker = Breaker::new(2, second);
    breaker.failed();
    assert!(breaker.wait().is_zero());
    breaker.failed();
    assert_eq!(breaker.wait(), second);
    tokio::time::advance(second).await;
    assert!(breaker.wait().is_zero());
    breaker.pass();
    assert_eq!(breaker.wait(), second, "a second request would pass beside the trial");
    breaker.failed();
    breaker.failed();
    assert_eq!(breaker.wait(), 2 * second);
    breaker.succeeded();
    assert!(breaker.wait().is_zero());
}

#[test]
fn a_torn_journal_is_repaired_and_a_foreign_one_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.jsonl");
    let first = request(1);
    let key = first.key("mock");
    let journal = journal(folder.path());
    journal.asked(key, &first).expect("written");
    assert!(matches!(Journal::open(&path, Durability::Answer), Err(JournalError::Busy { .. })));
    drop(journal);
    let whole = fs::read(&path).expect("the journal");
    let torn = [whole.as_slice(), &whole[..whole.len() / 2]].concat();
    fs::write(&path, torn).expect("written");
    let journal = Journal::open(&path, Durability::Answer).expect("repaired");
    assert_eq!(journal.tally().in_doubt, 1);
    drop(journal);
    assert_eq!(fs::read(&path).expect("the journal"), whole);
    fs::write(&path, "{\"role\": \"user\"}\n").expect("written");
    let error = Journal::open(&path, Durability::Answer).expect_err("foreign").to_string();
    assert!(error.contains("line 1") && error.contains("journal.jsonl"), "{error}");
    assert_eq!(fs::read_to_string(&path).expect("the file"), "{\"role\": \"user\"}\n");
}
