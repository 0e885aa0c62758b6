//! Requests to teachers: each is asked once, paid once and kept, whatever happens on the way.

use crate::{
    Answer, Budget, Failure, Journal, Key, Price, Request, Stage, Tally,
    limits::{Breaker, Pace},
    teacher::{Reply, Teacher, TeacherError},
};
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Failures in a row after which a teacher is left alone, and for how long at first.
const BREAKER: (u32, Duration) = (10, Duration::from_secs(2));

/// How often and how patiently a request is asked again.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// Attempts in all.
    pub attempts: u32,
    /// The first wait, doubled each time; the half of each wait is left to chance.
    pub first_wait: Duration,
    /// The longest wait that is ours. A teacher's own word may be longer, ten minutes at most.
    pub longest_wait: Duration,
}

impl Default for Retries {
    fn default() -> Retries {
        let (first_wait, longest_wait) = (Duration::from_millis(500), Duration::from_secs(30));
        Retries { attempts: 8, first_wait, longest_wait }
    }
}

/// A teacher and how it may be asked.
pub struct Endpoint {
    teacher: Box<dyn Teacher>,
    weight: u32,
    price: Price,
    slots: Semaphore,
    concurrency: usize,
    requests: Option<Pace>,
    tokens: Option<Pace>,
    breaker: Breaker,
    unusable: Mutex<Option<String>>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Endpoint").field("model", &self.teacher.model()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// A teacher that is asked at most `concurrency` things at once.
    pub fn new(teacher: Box<dyn Teacher>, concurrency: usize) -> Endpoint {
        let concurrency = concurrency.max(1);
        Endpoint {
            teacher,
            weight: 1,
            price: Price::default(),
            slots: Semaphore::new(concurrency),
            concurrency,
            requests: None,
            tokens: None,
            breaker: Breaker::new(BREAKER.0, BREAKER.1),
            unusable: Mutex::new(None),
        }
    }

    /// Its share of the requests, beside others.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Endpoint {
        self.weight = weight.max(1);
        self
    }

    /// What it takes.
    #[must_use]
    pub fn with_price(mut self, price: Price) -> Endpoint {
        self.price = price;
        self
    }

    /// Most requests and most tokens a minute.
    #[must_use]
    pub fn with_limits(mut self, requests: Option<u32>, tokens: Option<u32>) -> Endpoint {
        (self.requests, self.tokens) = (requests.map(Pace::new), tokens.map(Pace::new));
        self
    }

    /// Waits until the request may be sent.
    async fn turn(&self, request: &Request) -> Option<SemaphorePermit<'_>> {
        let slot = self.slots.acquire().await.ok();
        if let Some(pace) = &self.requests {
            pace.take(1.0).await;
        }
        if let Some(pace) = &self.tokens {
            pace.take(most_tokens(request)).await;
        }
        slot
    }

    /// Asks once.
    async fn ask(&self, request: &Request) -> Result<Reply, TeacherError> {
        let outcome = self.teacher.ask(request).await;
        if let Some(pace) = &self.tokens {
            let used = outcome.as_ref().map_or(0, |reply| reply.prompt_tokens + reply.reply_tokens) as f64;
            pace.give_back((most_tokens(request) - used).max(0.0));
        }
        match &outcome {
            Ok(_) | Err(TeacherError::Refused { .. }) => self.breaker.succeeded(),
            Err(TeacherError::Busy { after, throttled, .. }) => {
                if let Some(after) = after {
                    self.breaker.pause((*after).min(LONGEST_PAUSE));
                }
                if !throttled {
                    self.breaker.failed();
                }
            }
            Err(TeacherError::Unusable { reason }) => *lock(&self.unusable) = Some(reason.clone()),
        }
        outcome
    }
}

fn most_tokens(request: &Request) -> f64 {
    (request.estimated_tokens() + u64::from(request.sampling.max_tokens)) as f64
}

/// A teacher that wants to be left alone for longer is asked after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// What was done so far, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Requests answered by a teacher in this run.
    pub answered: usize,
    /// Requests answered from the journal.
    pub remembered: usize,
    /// Requests without an answer.
    pub failed: usize,
    /// Attempts that had to be repeated.
    pub repeated: usize,
    /// What the journal's answers cost, those of earlier runs too.
    pub spent: f64,
}

/// What a rehearsal would have asked of teachers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Requests that the journal has no answer to.
    pub requests: usize,
    /// Their prompts, estimated.
    pub prompt_tokens: u64,
    /// Their replies at their longest.
    pub reply_tokens: u64,
}

type Rehearse = dyn Fn(&Request) -> String + Send + Sync;

struct Rehearsal {
    context: Option<usize>,
    answer: Box<Rehearse>,
    seen: Mutex<HashSet<Key>>,
    planned: Mutex<BTreeMap<Stage, Planned>>,
}

/// Sends requests to teachers, within limits and budget, and keeps what they answer.
pub struct Dispatcher {
    endpoints: Vec<Endpoint>,
    models: String,
    journal: Journal,
    budget: Budget,
    retries: Retries,
    rehearsal: Option<Rehearsal>,
    /// Equal requests wait for the first of them.
    under_way: Mutex<HashMap<Key, Weak<tokio::sync::Mutex<()>>>>,
    turn: Mutex<Vec<i64>>,
    counts: [AtomicUsize; 4],
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Dispatcher").field("models", &self.models).finish_non_exhaustive()
    }
}

const ANSWERED: usize = 0;
const REMEMBERED: usize = 1;
const FAILED: usize = 2;
const REPEATED: usize = 3;

impl Dispatcher {
    /// A dispatcher over these teachers that spends at most `max_cost`, counted from the journal's beginning.
    pub fn new(endpoints: Vec<Endpoint>, journal: Journal, max_cost: Option<f64>, retries: Retries) -> Dispatcher {
        let mut models: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.teacher.model()).collect();
        models.sort_unstable();
        models.dedup();
        Dispatcher {
            models: models.join(" "),
            turn: Mutex::new(vec![0; endpoints.len()]),
            endpoints,
            budget: Budget::new(max_cost, journal.tally().spent),
            journal,
            retries,
            rehearsal: None,
            under_way: Mutex::default(),
            counts: Default::default(),
        }
    }

    /// A dispatcher that asks nobody: what the journal lacks is counted, and answered by `answer`.
    ///
    /// `models` are the models that would be asked, for the journal's sake, and `context` the smallest of theirs.
    pub fn rehearsal(
        models: &[String],
        context: Option<usize>,
        journal: Journal,
        answer: impl Fn(&Request) -> String + Send + Sync + 'static,
    ) -> Dispatcher {
        let mut dispatcher = Dispatcher::new(Vec::new(), journal, None, Retries::default());
        let mut models = models.to_vec();
        models.sort_unstable();
        models.dedup();
        dispatcher.models = models.join(" ");
        let (seen, planned) = (Mutex::default(), Mutex::default());
        dispatcher.rehearsal = Some(Rehearsal { context, answer: Box::new(answer), seen, planned });
        dispatcher
    }

    /// How many requests can be under way at once.
    pub fn concurrency(&self) -> usize {
        self.endpoints.iter().map(|endpoint| endpoint.concurrency).sum::<usize>().max(1)
    }

    /// The smallest context of the teachers that know theirs, in tokens.
    pub fn context(&self) -> Option<usize> {
        let of_teachers = self.endpoints.iter().filter_map(|endpoint| endpoint.teacher.context()).min();
        of_teachers.or_else(|| self.rehearsal.as_ref()?.context)
    }

    /// The answer to a request: from the journal, or else from a teacher.
    ///
    /// # Errors
    /// Nobody answers: see [`Failure`].
    pub async fn ask(&self, request: &Request) -> Result<Answer, Failure> {
        let key = request.key(&self.models);
        if let Some(answer) = self.journal.answer(key)? {
            self.count(REMEMBERED);
            return Ok(answer);
        }
        if let Some(rehearsal) = &self.rehearsal {
            return Ok(rehearsal.ask(key, request));
        }
        let turn = self.turn_of(key);
        let _turn = turn.lock().await;
        if let Some(answer) = self.journal.answer(key)? {
            self.count(REMEMBERED);
            return Ok(answer);
        }
        let outcome = self.ask_a_teacher(key, request).await;
        self.count(if outcome.is_ok() { ANSWERED } else { FAILED });
        lock(&self.under_way).remove(&key);
        outcome
    }

    /// The answers to many requests, in their order; as many are under way at once as the teachers take.
    pub async fn ask_all(&self, requests: &[Request]) -> Vec<Result<Answer, Failure>> {
        // Twice as many, for some rest between two attempts.
        in_order(requests.iter().map(|request| self.ask(request)), 2 * self.concurrency()).await
    }

    async fn ask_a_teacher(&self, key: Key, request: &Request) -> Result<Answer, Failure> {
        let most = self.endpoints.iter().map(|endpoint| endpoint.price.at_most(request)).fold(0.0, f64::max);
        self.budget.reserve(most).await?;
        match self.attempts(key, request).await {
            Ok((reply, endpoint)) => {
                let cost = endpoint.price.of(reply.prompt_tokens, reply.reply_tokens);
                let answer = Answer::new(reply, endpoint.teacher.model(), cost);
                let written = self.journal.answered(key, &answer);
                self.budget.settle(most, cost);
                written?;
                Ok(answer)
            }
            Err((attempts, failure)) => {
                self.budget.settle(most, 0.0);
                self.journal.gave_up(key, attempts, &failure.to_string())?;
                Err(failure)
            }
        }
    }

    async fn attempts(&self, key: Key, request: &Request) -> Result<(Reply, &Endpoint), (u32, Failure)> {
        let (mut attempts, mut is_asked) = (0, false);
        loop {
            let endpoint = self.choose().await.map_err(|reason| (attempts, Failure::Unusable { reason }))?;
            let slot = endpoint.turn(request).await;
            if !is_asked {
                self.journal.asked(key, request).map_err(|error| (attempts, error.into()))?;
                is_asked = true;
            }
            match endpoint.ask(request).await {
                Ok(reply) => return Ok((reply, endpoint)),
                Err(TeacherError::Refused { reason }) => return Err((attempts + 1, Failure::Refused { reason })),
                // The next choice says so if there is no other teacher.
                Err(TeacherError::Unusable { .. }) => {}
                Err(TeacherError::Busy { reason, after, .. }) => {
                    attempts += 1;
                    if attempts >= self.retries.attempts {
                        return Err((attempts, Failure::GaveUp { attempts, reason }));
                    }
                    self.count(REPEATED);
                    drop(slot);
                    tokio::time::sleep(self.wait(key, attempts, after)).await;
                }
            }
        }
    }

    /// The teacher's own word, or else twice as long each time, of which the half is by chance.
    fn wait(&self, key: Key, attempts: u32, after: Option<Duration>) -> Duration {
        if let Some(after) = after {
            return after.min(LONGEST_PAUSE);
        }
        let doubled = self.retries.first_wait * 2u32.pow((attempts - 1).min(16));
        let chance = key.seed().rotate_left(attempts * 7) as u32;
        let half = doubled.min(self.retries.longest_wait) / 2;
        half + half.mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }

    /// The endpoint whose turn it is, among those that may be asked; waits until one may.
    async fn choose(&self) -> Result<&Endpoint, String> {
        loop {
            let usable = self.endpoints.iter().enumerate().filter(|(_, endpoint)| lock(&endpoint.unusable).is_none());
            let waits: Vec<(usize, Duration)> = usable.map(|(at, endpoint)| (at, endpoint.breaker.wait())).collect();
            let Some(shortest) = waits.iter().map(|(_, wait)| *wait).min() else {
                let reasons = self.endpoints.iter().filter_map(|endpoint| lock(&endpoint.unusable).clone());
                return Err(reasons.last().unwrap_or_else(|| "there is no teacher".to_string()));
            };
            if !shortest.is_zero() {
                tokio::time::sleep(shortest).await;
                continue;
            }
            let open: Vec<usize> = waits.iter().filter(|(_, wait)| wait.is_zero()).map(|(at, _)| *at).collect();
            let free: Vec<usize> =
                open.iter().copied().filter(|&at| self.endpoints[at].slots.available_permits() > 0).collect();
            let endpoint = &self.endpoints[self.next_of(if free.is_empty() { &open } else { &free })];
            endpoint.breaker.pass();
            return Ok(endpoint);
        }
    }

    /// Smooth weighted round robin: each gains its weight, the richest is taken and pays the sum.
    fn next_of(&self, places: &[usize]) -> usize {
        let mut turn = lock(&self.turn);
        for &at in places {
            turn[at] += i64::from(self.endpoints[at].weight);
        }
        let chosen = places.iter().copied().max_by_key(|&at| turn[at]).unwrap_or(0);
        turn[chosen] -= places.iter().map(|&at| i64::from(self.endpoints[at].weight)).sum::<i64>();
        chosen
    }

    fn turn_of(&self, key: Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut under_way = lock(&self.under_way);
        if let Some(turn) = under_way.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        under_way.insert(key, Arc::downgrade(&turn));
        turn
    }

    fn count(&self, what: usize) {
        self.counts[what].fetch_add(1, Ordering::Relaxed);
    }

    /// What was done so far.
    pub fn progress(&self) -> Progress {
        let [answered, remembered, failed, repeated] = [0, 1, 2, 3].map(|at| self.counts[at].load(Ordering::Relaxed));
        Progress { answered, remembered, failed, repeated, spent: self.budget.spent() }
    }

    /// What a rehearsal counted, by stage.
    pub fn planned(&self) -> BTreeMap<Stage, Planned> {
        self.rehearsal.as_ref().map(|rehearsal| lock(&rehearsal.planned).clone()).unwrap_or_default()
    }

    /// What the journal holds.
    pub fn tally(&self) -> Tally {
        self.journal.tally()
    }

    /// Forces the journal to the disk.
    ///
    /// # Errors
    /// The system cannot.
    pub fn sync(&self) -> Result<(), Failure> {
        Ok(self.journal.sync()?)
    }
}

impl Rehearsal {
    fn ask(&self, key: Key, request: &Request) -> Answer {
        let prompt_tokens = request.estimated_tokens();
        if lock(&self.seen).insert(key) {
            let mut planned = lock(&self.planned);
            let planned = planned.entry(request.stage).or_default();
            planned.requests += 1;
            planned.prompt_tokens += prompt_tokens;
            planned.reply_tokens += u64::from(request.sampling.max_tokens);
        }
        let text = (self.answer)(request);
        let reply = Reply { text, prompt_tokens, reply_tokens: 0, complete: true };
        Answer::new(reply, "rehearsal", 0.0)
    }
}

/// What futures give, in their order, whichever is done first: a slow one holds up no other.
pub async fn in_order<F: Future>(futures: impl IntoIterator<Item = F>, at_once: usize) -> Vec<F::Output> {
    let numbered = futures.into_iter().enumerate().map(|(at, future)| async move { (at, future.await) });
    let mut done: Vec<(usize, F::Output)> = stream::iter(numbered).buffer_unordered(at_once.max(1)).collect().await;
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, output)| output).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
