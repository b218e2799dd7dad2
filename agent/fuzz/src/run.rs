//! The loop: makes an input, runs a target with it, and judges what must hold for all of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Target;
use crate::corpus::Corpus;
use crate::coverage::Coverage;
use crate::mutate::mutate;
use crate::random::Random;

/// Bytes that a run may allocate at a time whatever it gets: the words of an error, what a handshake needs.
const BASE: u64 = 64 << 10;
/// Bytes that a run may allocate at a time for each byte that it got.
const EACH: u64 = 160;
/// A run that takes longer is taken for one that never ends. Generous: this machine may be busy.
const STUCK: Duration = Duration::from_secs(20);

/// What was done with one target.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Runs.
    pub runs: u64,
    /// Of these, how many inputs meant something.
    pub understood: u64,
    /// Bytes in all inputs.
    pub bytes: u64,
    /// The most that was allocated at a time for each byte of input, beyond what any input may cost.
    pub factor: f64,
    /// The time that all of it took.
    pub took: Duration,
}

/// What does not hold that must, and the input that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In words.
    pub what: String,
    /// The input.
    pub input: Vec<u8>,
}

/// Runs a target once; whether the input meant something.
///
/// # Errors
/// In words, what does not hold.
pub fn once(target: &dyn Target, input: &[u8], tally: &mut Tally) -> Result<bool, String> {
    let mut result = Ok(None);
    let allocated = allocation_counter::measure(|| {
        result = catch_unwind(AssertUnwindSafe(|| target.run(input)));
    });
    tally.runs += 1;
    tally.bytes += input.len() as u64;
    let check = result.map_err(|panic| words_of(panic.as_ref()))?;
    let beyond = allocated.bytes_max.saturating_sub(BASE);
    if !input.is_empty() {
        tally.factor = tally.factor.max(beyond as f64 / input.len() as f64);
    }
    if beyond > EACH * input.len() as u64 {
        return Err(format!("{} bytes were allocated for {} bytes", allocated.bytes_max, input.len()));
    }
    let Some(check) = check else { return Ok(false) };
    tally.understood += 1;
    catch_unwind(AssertUnwindSafe(check)).map_err(|panic| words_of(panic.as_ref()))??;
    Ok(true)
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", words.unwrap_or("without words"))
}

/// Drives one target.
pub struct Fuzzer<'a> {
    target: &'a dyn Target,
    random: Random,
    corpus: Corpus,
    coverage: Coverage,
    /// What was done.
    pub tally: Tally,
    watched: Arc<Watched>,
}

impl<'a> Fuzzer<'a> {
    /// From this seed, with these inputs to begin with.
    ///
    /// # Errors
    /// If one of these finds a fault.
    pub fn new(target: &'a dyn Target, seed: u64, corpus: Corpus) -> Result<Self, Fault> {
        let (coverage, tally) = (Coverage::default(), Tally::default());
        let watched = Arc::default();
        let mut new = Self { target, random: Random::new(seed), corpus, coverage, tally, watched };
        for input in new.corpus.inputs().to_vec() {
            new.run(&input)?;
        }
        Ok(new)
    }

    /// Runs until `enough` says so, asked after each run.
    ///
    /// # Errors
    /// At the first fault.
    pub fn run_until(&mut self, mut enough: impl FnMut(&Tally) -> bool) -> Result<(), Fault> {
        let _watchdog = Watchdog::start(self.target.name(), &self.watched);
        let started = Instant::now();
        let before = self.tally.took;
        loop {
            let (input, fresh) = self.input();
            let (understood, new) = self.run(&input)?;
            // Without coverage nobody knows what is new: valid ones, damaged or not, are as good as any.
            let blind = Coverage::all() == 0 && understood && self.random.once_in(50);
            if new || blind || fresh && self.corpus.is_empty() {
                self.corpus.keep(&input, &mut self.random);
            }
            self.tally.took = before + started.elapsed();
            if enough(&self.tally) {
                return Ok(());
            }
        }
    }

    fn input(&mut self) -> (Vec<u8>, bool) {
        let random = &mut self.random;
        let old = if random.once_in(4) { None } else { self.corpus.choose(random).map(<[u8]>::to_vec) };
        match old {
            Some(mut input) => {
                let other = self.corpus.choose(random).unwrap_or(&[]).to_vec();
                mutate(&mut input, &other, random);
                (input, false)
            }
            None => (self.target.generate(random), true),
        }
    }

    fn run(&mut self, input: &[u8]) -> Result<(bool, bool), Fault> {
        self.watched.begins(input);
        let result = once(self.target, input, &mut self.tally);
        self.watched.ended();
        let new = self.coverage.collect();
        match result {
            Ok(understood) => Ok((understood, new)),
            Err(what) => Err(Fault { what, input: input.to_vec() }),
        }
    }

    /// Inputs that are kept.
    #[must_use]
    pub fn corpus(&self) -> usize {
        self.corpus.len()
    }

    /// Branches that were taken.
    #[must_use]
    pub fn branches(&self) -> usize {
        self.coverage.branches()
    }
}

/// The run that is under way.
#[derive(Debug, Default)]
struct Watched {
    /// Grows with every run; odd: one is under way.
    count: AtomicU64,
    input: Mutex<Vec<u8>>,
}

impl Watched {
    fn begins(&self, input: &[u8]) {
        let mut held = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        held.clear();
        held.extend_from_slice(input);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn ended(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends the process when a run does not end: nothing else can.
#[derive(Debug)]
struct Watchdog(Arc<AtomicU64>);

impl Watchdog {
    fn start(target: &'static str, watched: &Arc<Watched>) -> Self {
        let (stop, watched) = (Arc::new(AtomicU64::new(0)), watched.clone());
        let stopped = stop.clone();
        std::thread::spawn(move || {
            let (mut last, mut since) = (0, Instant::now());
            while stopped.load(Ordering::Relaxed) == 0 {
                std::thread::sleep(Duration::from_millis(100));
                let count = watched.count.load(Ordering::Relaxed);
                if count != last || count % 2 == 0 {
                    (last, since) = (count, Instant::now());
                } else if since.elapsed() > STUCK {
                    let input = watched.input.lock().unwrap_or_else(PoisonError::into_inner);
                    let file = crate::corpus::found(&std::env::temp_dir(), target, &input);
                    eprintln!("{target}: a run does not end within {STUCK:?}; its input: {file:?}");
                    std::process::exit(1);
                }
            }
        });
        Self(stop)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(1, Ordering::Relaxed);
    }
}
