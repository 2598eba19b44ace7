//! The hand-over in every order of its threads, within a bound of preemptions: loom runs each model once for each.
//!
//! `cargo xtask models` builds them with `--cfg handover_model`. A wake-up that is lost shows as a deadlock.

use super::*;
use crate::error::Closed;
use crate::publish::{DeliveryToken, PublishBuilder};
use core::future::poll_fn;
use core::pin::pin;
use loom::future::block_on;
use loom::thread;
use mqtt_session::Outcome;
use std::collections::VecDeque;

/// Room for so many messages; those who find none wait.
fn shared(messages: usize) -> Arc<Shared> {
    Arc::new(Shared::new((Size { messages, bytes: 1000 }, Overflow::Refuse), false))
}

fn model(threads: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(threads);
}

fn publish(shared: &Arc<Shared>) -> PublishBuilder<'_> {
    PublishBuilder::new(shared, crate::publish::message("a", ""))
}

fn publish_now(shared: &Arc<Shared>) -> DeliveryToken {
    publish(shared).try_enqueue().unwrap()
}

/// Plays the driver: what it finds is sent and answered at once, or with a store in the round after it is stored, until
/// it is told to go.
fn drive(shared: &Shared) -> Exchange {
    let (mut exchange, mut stored) = (Exchange::default(), Vec::new());
    let sent = |cell| (cell, Fate::Outcome(Outcome::Sent));
    block_on(poll_fn(|cx| {
        loop {
            exchange.settled.extend(stored.drain(..).map(sent));
            for command in exchange.commands.drain(..) {
                match command {
                    Command::Publish(_, cell) if shared.durable => {
                        exchange.accepted.push(cell);
                        stored.push(cell);
                    }
                    Command::Publish(_, cell) => exchange.settled.push(sent(cell)),
                    _ => {}
                }
            }
            let park = stored.is_empty().then_some(cx.waker());
            let news = shared.exchange(&mut exchange, Load::default(), park);
            if exchange.stop.is_some() && exchange.commands.is_empty() {
                return Poll::Ready(());
            }
            if !news && stored.is_empty() {
                return Poll::Pending;
            }
        }
    }));
    exchange
}

/// The end, as the driver makes it.
fn close(shared: &Shared, exchange: &mut Exchange) {
    let later = shared.close(Closed::TaskEnded, exchange);
    later.into_iter().filter_map(Command::go_unheard).for_each(Waker::wake);
}

/// Starts a driver that ends as the client's does.
fn start(shared: &Arc<Shared>) -> thread::JoinHandle<()> {
    let shared = shared.clone();
    thread::spawn(move || {
        let mut exchange = drive(&shared);
        close(&shared, &mut exchange);
    })
}

#[test]
fn the_driver_hears_of_each_message_and_the_token_of_its_answer() {
    model(|| {
        let shared = shared(10);
        let driver = start(&shared);
        let other = thread::spawn({
            let shared = shared.clone();
            move || block_on(publish_now(&shared))
        });
        assert!(matches!(block_on(publish_now(&shared)), Outcome::Sent));
        assert!(matches!(other.join().unwrap(), Outcome::Sent));
        shared.stop(Stop::Abort);
        driver.join().unwrap();
    });
}

/// With a store: who waits until a message is stored hears of that or of the end, and so does the token.
#[test]
fn a_message_that_is_to_be_stored_is_accepted_or_refused_at_the_end() {
    model(|| {
        let shared = Arc::new(Shared::new((Size { messages: 10, bytes: 1000 }, Overflow::Refuse), true));
        let driver = start(&shared);
        let publishing = thread::spawn({
            let shared = shared.clone();
            move || match block_on(publish(&shared).enqueue()) {
                Ok(token) => matches!(block_on(token), Outcome::Sent | Outcome::Stored),
                Err(error) => matches!(error, PublishError::Closed(Closed::Aborted)),
            }
        });
        shared.stop(Stop::Abort);
        driver.join().unwrap();
        assert!(publishing.join().unwrap());
    });
}

/// One goes in, one gives up while it waits or after it was called, and the one behind it must go in all the same.
#[test]
fn who_gives_up_in_the_line_keeps_nobody_out() {
    model(|| {
        let shared = shared(1);
        drop(publish_now(&shared));
        let impatient = thread::spawn({
            let shared = shared.clone();
            move || {
                let mut enqueue = pin!(publish(&shared).enqueue());
                block_on(poll_fn(|cx| Poll::Ready(enqueue.as_mut().poll(cx).is_ready())))
            }
        });
        let patient = thread::spawn({
            let shared = shared.clone();
            move || {
                let token = block_on(publish(&shared).enqueue()).unwrap();
                assert!(matches!(block_on(token), Outcome::Sent));
                impatient.join().unwrap();
                shared.stop(Stop::Abort);
            }
        });
        drive(&shared);
        patient.join().unwrap();
        assert!(shared.lock().room.try_enter(Size::one(1)), "the room is whole again");
    });
}

#[test]
fn a_token_that_is_dropped_while_it_is_answered_frees_its_cell() {
    model(|| {
        let shared = shared(10);
        let impatient = thread::spawn({
            let shared = shared.clone();
            move || {
                let mut token = publish_now(&shared);
                block_on(poll_fn(|cx| Poll::Ready(pin!(&mut token).poll(cx).is_ready())));
                drop(token);
                shared.stop(Stop::Abort);
            }
        });
        drive(&shared);
        impatient.join().unwrap();
        assert_eq!(shared.lock().cells.open(), Cells::default().open(), "it is used again");
    });
}

/// Whatever comes while the client ends is refused or answered, and nobody waits for ever.
#[test]
fn who_asks_while_the_client_ends_gets_an_answer() {
    model(|| {
        let shared = shared(1);
        let driver = start(&shared);
        let asking = thread::spawn({
            let shared = shared.clone();
            move || match shared.submit(|cell| Command::Leave(HolderId(1), Some(cell))) {
                Ok(cell) => matches!(block_on(poll_fn(|cx| shared.poll_cell(cell, cx))), Fate::Closed),
                Err(closed) => matches!(closed, Closed::Aborted),
            }
        });
        shared.stop(Stop::Abort);
        driver.join().unwrap();
        assert!(asking.join().unwrap());
        block_on(poll_fn(|cx| shared.poll_drained(cx)));
    });
}

#[test]
fn who_waits_for_room_while_the_client_ends_is_sent_away() {
    model(|| {
        let shared = shared(1);
        drop(publish_now(&shared));
        let waiting = thread::spawn({
            let shared = shared.clone();
            move || block_on(publish(&shared).enqueue())
        });
        shared.stop(Stop::Abort);
        close(&shared, &mut Exchange::default());
        assert!(matches!(waiting.join().unwrap(), Err(PublishError::Closed(Closed::Aborted))));
    });
}

#[test]
fn a_stream_that_is_opened_while_the_client_ends_has_an_end() {
    model(|| {
        let shared = shared(1);
        let opening = thread::spawn({
            let shared = shared.clone();
            move || {
                let inbox = Arc::new(Inbox::new(1, QueuePolicy::Wait, false));
                shared.tell(Command::Unmatched(HolderId(1), inbox.clone()));
                block_on(poll_fn(|cx| inbox.queue.poll_take(cx))).is_none()
            }
        });
        close(&shared, &mut Exchange::default());
        assert!(opening.join().unwrap());
    });
}

#[test]
fn draining_sees_the_last_answer() {
    model(|| {
        let shared = shared(10);
        let driver = start(&shared);
        drop(publish_now(&shared));
        assert_eq!(block_on(poll_fn(|cx| shared.poll_drained(cx))), 0);
        shared.stop(Stop::Abort);
        driver.join().unwrap();
    });
}

/// A reader that takes one by one, or ahead: what it got, and whether it made room.
type Read = fn(&Queue<i32>, &mut VecDeque<i32>) -> Option<(i32, bool)>;

/// The driver stops at a full queue, and goes on when the reader has made room.
fn reads_all(read: Read) {
    model(move || {
        let shared = shared(1);
        let queue = Arc::new(Queue::new(1, QueuePolicy::Wait));
        let driver = thread::spawn({
            let (shared, queue) = (shared.clone(), queue.clone());
            move || {
                let (mut exchange, mut full) = (Exchange::default(), 0);
                for item in 0..2 {
                    let pushed = queue.push(item);
                    full += usize::from(pushed.filled);
                    pushed.reader.into_iter().for_each(Waker::wake);
                    block_on(poll_fn(|cx| {
                        shared.exchange(&mut exchange, Load::default(), Some(cx.waker()));
                        full -= core::mem::take(&mut exchange.reopened);
                        if full == 0 { Poll::Ready(()) } else { Poll::Pending }
                    }));
                }
                queue.end().into_iter().for_each(Waker::wake);
            }
        });
        let mut ahead = VecDeque::new();
        let mut next = || {
            let (item, reopened) = read(&queue, &mut ahead)?;
            shared.message_taken(None, reopened);
            Some(item)
        };
        assert_eq!([next(), next(), next()], [Some(0), Some(1), None]);
        driver.join().unwrap();
    });
}

#[test]
fn a_reader_misses_nothing_and_wakes_a_driver_that_waits_for_it() {
    reads_all(|queue, _| {
        let taken = block_on(poll_fn(|cx| queue.poll_take(cx)))?;
        Some((taken.item, taken.reopened))
    });
}

#[test]
fn a_reader_that_takes_ahead_misses_nothing_either() {
    reads_all(|queue, ahead| {
        if ahead.is_empty() {
            block_on(poll_fn(|cx| queue.poll_ahead(ahead, cx)));
        }
        let item = ahead.pop_front()?;
        Some((item, queue.passed_on(ahead)))
    });
}
