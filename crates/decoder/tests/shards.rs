//! Several shards give the numbers of one, however unevenly the heads fall.

mod common;

use std::thread;

use candle_core::quantized::GgmlDType;
use common::{TinyModel, load_part, tokens};
use decoder::{CacheType, Cpu, ForwardError, Session, Shard, ThreadComm, comm_words, serve};

const VOCAB: u32 = 48;
const CONTEXT: usize = 300;

/// Runs `work` on the session of a model cut into `count` shards, each on a thread of its own.
fn with_shards<T>(gguf: &[u8], count: usize, work: impl FnOnce(&mut Session) -> T) -> T {
    let load = |index| load_part(gguf, Shard::new(index, count), Cpu::detect()).expect("the shard loads");
    let first = load(0);
    let mut seats = ThreadComm::seats(count, comm_words(first.config(), count)).into_iter();
    let comm = Box::new(seats.next().expect("a seat for the first"));
    thread::scope(|scope| {
        for (index, seat) in (1..).zip(seats) {
            let weights = load(index);
            scope.spawn(move || serve(weights, Box::new(seat), CacheType::F16).expect("the shard serves to the end"));
        }
        let mut session = Session::with_comm(first, comm, CONTEXT, CacheType::F16);
        work(&mut session)
    })
}

#[test]
fn any_number_of_shards_gives_the_same_numbers() {
    for dtype in [GgmlDType::F32, GgmlDType::Q4_0, GgmlDType::Q8_0, GgmlDType::Q6K] {
        let gguf = TinyModel::new(dtype).write();
        let tokens = tokens(90, VOCAB);
        let all = |session: &mut Session| {
            let mut all = session.forward(&tokens[..70]).expect("they fit").to_vec();
            for token in &tokens[70..] {
                all.extend(session.forward(&[*token]).expect("it fits"));
            }
            session.truncate(40).expect("nobody is lost");
            all.extend(session.forward(&tokens[40..45]).expect("they fit"));
            all
        };
        let alone = with_shards(&gguf, 1, all);
        // 8 query heads over 4 key/value heads, 48 rows of logits: 3, 5 and 11 divide neither.
        for count in [2, 3, 5, 11] {
            assert!(with_shards(&gguf, count, all) == alone, "{dtype:?} in {count} shards differs");
        }
    }
}

#[test]
fn a_pass_that_is_abandoned_reaches_every_shard() {
    let gguf = TinyModel::new(GgmlDType::Q8_0).write();
    let tokens = tokens(200, VOCAB);
    let work = |session: &mut Session| {
        for steps in 1..12 {
            session.truncate(0).expect("nobody is lost");
            session.start(&tokens).expect("they fit");
            for _ in 0..steps {
                session.advance().expect("the pass goes on");
            }
        }
        session.truncate(0).expect("nobody is lost");
        session.forward(&tokens).expect("they fit").to_vec()
    };
    assert_eq!(with_shards(&gguf, 3, work), with_shards(&gguf, 1, work));
}

#[test]
fn a_lost_shard_ends_the_pass_with_an_error() {
    let gguf = TinyModel::new(GgmlDType::F32).write();
    let weights = load_part(&gguf, Shard::new(0, 2), Cpu::detect()).expect("the shard loads");
    let mut seats = ThreadComm::seats(2, comm_words(weights.config(), 2));
    drop(seats.pop());
    let comm = Box::new(seats.pop().expect("two seats"));
    let mut session = Session::with_comm(weights, comm, CONTEXT, CacheType::F16);
    assert!(matches!(session.forward(&[1, 2, 3]), Err(ForwardError::Disconnected(_))));
}

#[test]
fn shards_together_hold_what_one_holds() {
    let gguf = TinyModel::new(GgmlDType::Q8_0).write();
    let bytes = |index, count| {
        load_part(&gguf, Shard::new(index, count), Cpu::detect()).expect("the shard loads").memory_bytes()
    };
    let (whole, parts) = (bytes(0, 1), [bytes(0, 2), bytes(1, 2)]);
    // Norms are in each; everything else is in one.
    assert!(parts.iter().sum::<u64>() < whole + whole / 50, "{parts:?} of {whole}");
    assert!(parts.iter().all(|&part| part < whole * 6 / 10), "{parts:?} of {whole}");
}
