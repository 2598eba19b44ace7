//! The codec alone, to compare with its own past: `cargo bench -p own -- --save-baseline NAME`, then `--baseline NAME`.
use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mqtt_codec::{
    Ack, Decoder, Delivery, Packet, PacketId, PropertiesBuf, PublishParts, Subscribe, SubscriptionOptions, Topic,
    TopicFilter, Version, WireBuf,
};
use std::hint::black_box;

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5];
const ID: PacketId = PacketId::MIN;

fn publish(version: Version, payload: usize, properties: &PropertiesBuf) -> Vec<u8> {
    let payload = Bytes::from(vec![b'x'; payload]);
    let delivery = Delivery::AtLeastOnce { id: ID, dup: false };
    let topic = Topic::new("bench/dev-00001/temp").unwrap();
    let mut out = WireBuf::new();
    PublishParts { properties: properties.view(), ..PublishParts::new(delivery, topic, &payload) }
        .encode(version, &mut out)
        .unwrap();
    out.to_vec()
}

fn encoded(version: Version, packet: &Packet) -> Vec<u8> {
    let mut out = WireBuf::new();
    packet.encode(version, &mut out).unwrap();
    out.to_vec()
}

fn corpus(version: Version) -> Vec<(&'static str, Vec<u8>)> {
    let filters: Vec<_> = (0..10).map(|i| TopicFilter::try_from(format!("bench/dev-{i:05}/+")).unwrap()).collect();
    let filters = filters.iter().map(|filter| (filter, SubscriptionOptions::default()));
    let subscribe = Subscribe::new(ID, &PropertiesBuf::new(), filters).unwrap();
    let mut corpus = vec![
        ("publish 64 B", publish(version, 64, &PropertiesBuf::new())),
        ("publish 64 KiB", publish(version, 65_536, &PropertiesBuf::new())),
        ("puback", encoded(version, &Packet::PubAck(Ack::new(ID)))),
        ("subscribe x10", encoded(version, &Packet::Subscribe(subscribe))),
    ];
    if version.is_v5() {
        let properties = PropertiesBuf::builder().content_type("application/json").user_property("origin", "gateway-7");
        corpus.push(("publish 64 B, 2 properties", publish(version, 64, &properties.build().unwrap())));
    }
    corpus
}

fn decode(c: &mut Criterion) {
    for version in VERSIONS {
        let mut group = c.benchmark_group(format!("decode {version}"));
        for (name, wire) in corpus(version) {
            let copies = (65_536 / wire.len()).max(1);
            group.throughput(Throughput::Elements(copies as u64));
            group.bench_function(name, |b| {
                let fill = || BytesMut::from(&wire.repeat(copies)[..]);
                let drain = |mut input: BytesMut| {
                    let mut decoder = Decoder::new(version);
                    while let Some(packet) = decoder.decode(&mut input).unwrap() {
                        black_box(packet);
                    }
                };
                b.iter_batched(fill, drain, BatchSize::LargeInput);
            });
        }
    }
}

fn encode(c: &mut Criterion) {
    for version in VERSIONS {
        let mut group = c.benchmark_group(format!("encode {version}"));
        for (name, wire) in corpus(version) {
            let packet = Decoder::new(version).decode(&mut BytesMut::from(&wire[..])).unwrap().unwrap();
            let mut out = WireBuf::with_capacity(128 * 1024);
            group.throughput(Throughput::Elements(1));
            group.bench_function(name, |b| {
                b.iter(|| {
                    out.clear();
                    black_box(&packet).encode(version, &mut out).unwrap();
                    black_box(out.len())
                });
            });
        }
    }
}

fn topics(c: &mut Criterion) {
    let filter = TopicFilter::try_from("home/+/sensor/#").unwrap();
    c.bench_function("match a topic", |b| b.iter(|| filter.matches(black_box("home/kitchen/sensor/temperature/1"))));
}

criterion_group!(benches, decode, encode, topics);
criterion_main!(benches);
