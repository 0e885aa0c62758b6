use futures_util::{StreamExt, stream};
use std::cell::Cell;
use synthesis::Failure;

/// Asks for each item, so many at once, and tells `keep` of what comes, in the order in which it comes.
///
/// After a failure that ends the run nothing more is begun, but what is under way is waited for: it is paid.
///
/// # Errors
/// The first failure that ends the run, with its item; or what `keep` says.
pub async fn gather<I: Copy, T, E>(
    items: impl IntoIterator<Item = I>,
    concurrency: usize,
    ask: impl AsyncFn(I) -> Result<T, Failure>,
    fatal: impl Fn(I, Failure) -> E,
    mut keep: impl FnMut(I, Result<T, Failure>) -> Result<(), E>,
) -> Result<(), E> {
    let ended = Cell::new(false);
    let (ended, ask) = (&ended, &ask);
    let mut asking = stream::iter(items)
        .map(|item| async move { if ended.get() { None } else { Some((item, ask(item).await)) } })
        .buffer_unordered(concurrency);
    let mut outcome = Ok(());
    while let Some(answered) = asking.next().await {
        let Some((item, answer)) = answered else { continue };
        let result = match answer {
            Err(failure) if failure.ends_the_run() => Err(fatal(item, failure)),
            answer => keep(item, answer),
        };
        if result.is_err() {
            ended.set(true);
            outcome = outcome.and(result);
        }
    }
    outcome
}
