//! The outgoing buffer: large payloads as segments, whatever is taken off the front in whatever steps.

mod common;

use bytes::{Buf, Bytes};
use common::id;
use mqtt_codec::{Ack, Delivery, PacketType, PublishParts, SEGMENT_LEN, Topic, Version, WireBuf};
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::IoSlice;

fn put(out: &mut WireBuf, payload: &Bytes) {
    let topic = Topic::new("a").unwrap();
    PublishParts::new(Delivery::AtMostOnce, topic, payload).encode(Version::V5, out).unwrap();
}

/// What a vectored write of so many slices would get.
fn chunks(out: &WireBuf, most: usize) -> Vec<IoSlice<'_>> {
    let mut slices = vec![IoSlice::new(&[]); most];
    let filled = out.chunks_vectored(&mut slices);
    slices.truncate(filled);
    assert!(slices.iter().all(|slice| !slice.is_empty()));
    slices
}

fn joined(slices: &[IoSlice<'_>]) -> Vec<u8> {
    slices.iter().fold(Vec::new(), |mut joined, slice| {
        joined.extend_from_slice(slice);
        joined
    })
}

/// A payload of `SEGMENT_LEN` bytes goes to the socket from where it is; a smaller one joins the bytes around it.
#[test]
fn large_payloads_are_not_copied() {
    let (large, small) = (Bytes::from(vec![1; SEGMENT_LEN]), Bytes::from(vec![2; SEGMENT_LEN - 1]));
    let mut out = WireBuf::new();
    put(&mut out, &small);
    put(&mut out, &large);
    Ack::new(id(7)).encode(PacketType::PubAck, Version::V5, &mut out).unwrap();
    put(&mut out, &large);
    let slices = chunks(&out, 16);
    let heads = [7, 7, 4 + 7];
    let lens: Vec<_> = slices.iter().map(|slice| slice.len()).collect();
    assert_eq!(lens, [heads[0] + small.len() + heads[1], large.len(), heads[2], large.len()]);
    assert_eq!([slices[1].as_ptr(), slices[3].as_ptr()], [large.as_ptr(); 2]);
    assert!(slices.iter().all(|slice| slice.as_ptr() != small.as_ptr()));
    assert_eq!(joined(&slices), out.to_vec());

    // Half of the segment taken, the rest is still the same memory.
    let first = lens[0];
    drop(slices);
    out.advance(first + 100);
    assert_eq!(out.chunk().as_ptr(), large[100..].as_ptr());
    assert_eq!(out.chunk().len(), large.len() - 100);
}

#[test]
fn a_cleared_buffer_is_empty() {
    let mut out = WireBuf::with_capacity(100);
    put(&mut out, &Bytes::from(vec![1; 10_000]));
    assert!(!out.is_empty());
    out.clear();
    assert_eq!((out.len(), out.to_vec(), chunks(&out, 4).len()), (0, vec![], 0));
    put(&mut out, &Bytes::from_static(b"x"));
    out.release();
    assert_eq!(out.len(), 7, "only an empty buffer is released");
    out.advance(7);
    out.release();
    assert!(out.is_empty() && out.chunk().is_empty());
}

#[test]
#[should_panic(expected = "cannot advance past the end")]
fn nothing_lies_behind_the_end() {
    let mut out = WireBuf::new();
    put(&mut out, &Bytes::from(vec![1; 10_000]));
    out.advance(out.len() + 1);
}

/// One step of a writer: a packet put in, or bytes taken out.
#[derive(Clone, Debug)]
enum Step {
    Put(usize),
    Take(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![3 => 0..200_usize, 1 => SEGMENT_LEN - 2..SEGMENT_LEN + 2, 1 => 9_000..80_000_usize];
    prop_oneof![len.prop_map(Step::Put), (0..20_000_usize).prop_map(Step::Take)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Against a plain vector: nothing is lost, doubled or moved, however bytes come and go.
    #[test]
    fn it_is_a_queue_of_bytes(steps in vec(step(), 1..30), most in 0..6_usize) {
        let (mut out, mut model) = (WireBuf::new(), Vec::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Put(len) => {
                    let payload = Bytes::from(vec![number as u8; len]);
                    put(&mut out, &payload);
                    model.extend(common::body("00 01 61 00").bytes(&payload).packet(0x30));
                }
                Step::Take(len) => {
                    let len = len.min(model.len());
                    out.advance(len);
                    model.drain(..len);
                }
            }
            prop_assert_eq!((out.len(), out.remaining(), out.is_empty()), (model.len(), model.len(), model.is_empty()));
            prop_assert!(model.starts_with(out.chunk()) && out.chunk().is_empty() == model.is_empty());
            prop_assert!(model.starts_with(&joined(&chunks(&out, most))));
            prop_assert!(out.to_vec() == model);
            prop_assert!(joined(&chunks(&out, 100)) == model);
        }
    }
}
