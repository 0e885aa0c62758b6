//! Prefill and decode of a GGUF, in tokens per second: `cargo run --release -p decoder --example speed -- FILE [threads [cpu]]`.
#![expect(clippy::print_stdout, reason = "the figures are this program's result")]

use std::{fs::File, ops::ControlFlow, sync::Arc, time::Instant};

use decoder::{Alone, CacheType, Cpu, Gguf, Loader, Session, Shard, load_threaded};

const PREFILL: usize = 512;
const DECODE: usize = 128;
const REPETITIONS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = arguments.first().ok_or("name a GGUF file")?.clone();
    let threads: usize = arguments.get(1).map_or(Ok(1), |threads| threads.parse())?;
    let started = Instant::now();
    let mut readers = [File::open(&file)?];
    let gguf = Gguf::read_parts(&mut readers)?;
    let (weights, comm) = match arguments.get(2) {
        None => {
            let open = move || Ok(vec![File::open(&file)?]);
            load_threaded(&gguf, open, threads, CacheType::F16, &mut |_| ControlFlow::Continue(()))?
        }
        Some(name) => {
            let cpu =
                Cpu::available().into_iter().find(|cpu| cpu.name() == name).ok_or("this machine has no such set")?;
            let mut loader = Loader::with_cpu(&gguf, Shard::WHOLE, cpu)?;
            while loader.step(&mut readers)?.is_continue() {}
            (loader.finish(), Box::new(Alone) as Box<dyn decoder::Comm>)
        }
    };
    let (cpu, vocab) = (weights.cpu().name(), weights.config().vocab_size as u32);
    println!(
        "loaded in {:.2} s, {cpu}, {} MB in the first of {threads} shards",
        started.elapsed().as_secs_f64(),
        weights.memory_bytes() / 1_000_000
    );
    let mut session = Session::with_comm(Arc::new(weights), comm, PREFILL + DECODE, CacheType::F16);
    for repetition in 0..REPETITIONS as u32 {
        session.truncate(0)?;
        let tokens: Vec<u32> = (0..PREFILL as u32).map(|n| (n * 7919 + repetition * 31 + 300) % vocab).collect();
        let prefill = Instant::now();
        session.forward(&tokens)?;
        let prefill = PREFILL as f64 / prefill.elapsed().as_secs_f64();
        session.truncate(16)?;
        let decode = Instant::now();
        for n in 0..DECODE as u32 {
            session.forward(&[(n * 104_729 + 500) % vocab])?;
        }
        let decode = DECODE as f64 / decode.elapsed().as_secs_f64();
        println!("prefill {prefill:8.1} tokens/s, decode {decode:8.1} tokens/s");
    }
    Ok(())
}
