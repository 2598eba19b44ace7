//! A simulation: the session, a model broker and a wire that delays and breaks, on a virtual clock, in a play that a
//! seed decides.
//!
//! After every step the books are checked, see `books.rs`: no packet identifier is used twice, quotas are kept in both
//! directions, everything stands in its order, QoS 1 arrives at least once and QoS 2 exactly once, every token completes
//! once and truthfully, what the session holds is what it should, and it never wants to be woken over and over. At the
//! end everything is let through and comes to rest.
//!
//! ```
//! use mqtt_testkit::sim::{Choices, Tally};
//!
//! let mut tally = Tally::default();
//! if let Err(failure) = mqtt_testkit::sim::run(Choices::from_seed(7), &mut tally) {
//!     panic!("{failure}");
//! }
//! ```

mod books;
mod choices;
mod crash;
mod faults;
mod greeting;
mod incoming;
mod link;
mod outgoing;
mod server;
mod settle;
mod setup;
mod shrink;
mod steps;
mod world;

pub use self::choices::Choices;

use self::world::World;
use core::fmt;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

/// What was played.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Steps taken.
    pub steps: u64,
    /// Links opened.
    pub links: u64,
    /// Connections that the server accepted.
    pub connections: u64,
    /// Messages published.
    pub published: u64,
    /// Messages received.
    pub received: u64,
    /// Sessions that the server lost.
    pub losses: u64,
    /// Crashes of the client.
    pub crashes: u64,
}

impl core::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.links += other.links;
        self.connections += other.connections;
        self.published += other.published;
        self.received += other.received;
        self.losses += other.losses;
        self.crashes += other.crashes;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, links, connections, published, received, losses, crashes } = self;
        write!(f, "{steps} steps, {links} links, {connections} connections, {published} messages out, ")?;
        write!(f, "{received} in, {losses} lost sessions, {crashes} crashes")
    }
}

/// A promise that was broken, and the shortest play in which it is.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What is wrong.
    pub why: String,
    /// What happened, line by line.
    pub play: Vec<String>,
    /// Steps of the play, and of the run that was made shorter.
    pub steps: (usize, usize),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { why, play, steps: (steps, of) } = self;
        writeln!(f, "{why}\n  the play, {steps} of {of} steps (<- client, -> server):")?;
        play.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// The lines of a play, if anybody wants them.
#[derive(Debug, Default)]
pub(crate) struct Play(Option<Vec<String>>);

impl Play {
    fn line(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.0 {
            lines.push(line());
        }
    }
}

/// Plays a run. One that fails is played again and again, each time without some of its steps, until none can be left
/// out.
///
/// # Errors
///
/// The promise that was broken; a panic of the session is one too.
pub fn run(mut choices: Choices<'_>, tally: &mut Tally) -> Result<(), Failure> {
    let mut played = Tally::default();
    let done = attempt(&mut choices, &mut Play::default(), &mut played);
    *tally += played;
    done.map_err(|why| shrink::shrink(choices.into_taken(), why))
}

/// Plays a run once. The error says what is wrong.
fn attempt(choices: &mut Choices<'_>, play: &mut Play, tally: &mut Tally) -> Result<(), String> {
    let all = AssertUnwindSafe(|| {
        let mut world = World::new(choices, play, tally)?;
        while world.choices.step() {
            world.step()?;
        }
        world.finish()
    });
    catch_unwind(all).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", text.unwrap_or("without a text")))
    })
}
