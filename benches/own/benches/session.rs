//! The session alone, to compare with its own past: `cargo bench -p own --bench session -- --save-baseline NAME`, then
//! `--baseline NAME`. The time of the server's side is left out.
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use own::session::{Case, Meter, Rig, Unmeasured};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Clock(Duration);

impl Meter for Clock {
    fn measure(&mut self, step: impl FnOnce()) {
        let start = Instant::now();
        step();
        self.0 += start.elapsed();
    }
}

fn session(c: &mut Criterion) {
    for case in Case::all() {
        let Case { version, exchange, batch, in_flight, subscriptions } = case;
        let mut group = c.benchmark_group(format!("{} {version}", exchange.name()));
        group.throughput(Throughput::Elements(batch as u64));
        let name = format!("batch of {batch}, {in_flight} in flight, {subscriptions} subscriptions");
        let mut rig = Rig::new(case);
        rig.round(&mut Unmeasured);
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let mut clock = Clock::default();
                (0..rounds).for_each(|_| rig.round(&mut clock));
                clock.0
            });
        });
    }
}

criterion_group!(benches, session);
criterion_main!(benches);
