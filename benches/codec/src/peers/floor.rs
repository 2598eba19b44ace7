//! Physical floors, not codecs:
//! * memcpy   — copy the same bytes once (decode: buffer -> buffer; encode: prebuilt frame -> buffer)
//! * walk     — step over the frames by remaining length only
//! * borrowed — a hand-written decode of PUBLISH/PUBACK to borrowed fields, UTF-8 checked, properties
//!   walked and length-checked; SUBSCRIBE/CONNECT walked field by field. Hand-written single-reserve encode.
//! * frame    — owned too, but cheaper: the read buffer is frozen once, and a packet is one `Bytes` of its
//!   whole frame plus offsets (one reference count up, one down; topic and payload views are made on demand).
//! * slices   — the same, but the packet owns `Bytes` slices of the receive buffer (topic + payload),
//!   so it can leave the read loop. Encode writes the header only, payload goes as a `Bytes` clone (vectored).
use crate::corpus::*;
use crate::peer::Peer;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// total frame length if the whole frame is there
#[inline]
pub fn frame_len(b: &[u8]) -> Option<usize> {
    let mut len = 0usize;
    for i in 0..4 {
        let x = *b.get(1 + i)?;
        len |= ((x & 0x7f) as usize) << (7 * i);
        if x & 0x80 == 0 {
            let t = 2 + i + len;
            return (b.len() >= t).then_some(t);
        }
    }
    panic!("bad length")
}
pub struct Rx {
    buf: Vec<u8>,
    pos: usize,
    out: Vec<u8>,
}
macro_rules! rxfns {
    () => {
        fn rx(cap: usize) -> Rx { Rx { buf: Vec::with_capacity(cap), pos: 0, out: vec![0; 1 << 17] } }
        fn push(rx: &mut Rx, b: &[u8]) {
            if rx.pos > 0 { rx.buf.drain(..rx.pos); rx.pos = 0; }
            rx.buf.extend_from_slice(b)
        }
    };
}
macro_rules! txfns {
    () => {
        fn tx(cap: usize) -> BytesMut { BytesMut::with_capacity(cap) }
        fn clear(tx: &mut BytesMut) { tx.clear() }
        fn wire(tx: &mut BytesMut) -> Vec<u8> { tx.to_vec() }
    };
}
pub struct Memcpy<const VER: u8>;
impl<const VER: u8> Peer for Memcpy<VER> {
    const NAME: &'static str = "floor:memcpy";
    const V: u8 = VER;
    type Rx = Rx;
    type Tx = BytesMut;
    type Pkt<'a> = &'a [u8];
    rxfns!();
    txfns!();
    fn next<'a>(rx: &'a mut Rx) -> Option<&'a [u8]> {
        let t = frame_len(&rx.buf[rx.pos..])?;
        rx.out[..t].copy_from_slice(&rx.buf[rx.pos..rx.pos + t]);
        rx.pos += t;
        Some(&rx.out[..t])
    }
    fn encode(s: &mut Option<&[u8]>, tx: &mut BytesMut) {
        tx.extend_from_slice(s.unwrap());
    }
    fn publish(_: &PubArgs, _: &mut BytesMut) -> bool {
        false
    }
}
pub struct Walk<const VER: u8>;
impl<const VER: u8> Peer for Walk<VER> {
    const NAME: &'static str = "floor:walk";
    const V: u8 = VER;
    type Rx = Rx;
    type Tx = BytesMut;
    type Pkt<'a> = (u8, &'a [u8]);
    rxfns!();
    txfns!();
    fn next<'a>(rx: &'a mut Rx) -> Option<(u8, &'a [u8])> {
        let b = &rx.buf[rx.pos..];
        let t = frame_len(b)?;
        rx.pos += t;
        Some((b[0], &b[..t]))
    }
    fn encode(s: &mut Option<(u8, &[u8])>, _: &mut BytesMut) {
        std::hint::black_box(s);
    }
    fn publish(_: &PubArgs, _: &mut BytesMut) -> bool {
        false
    }
}

#[inline]
fn take<'a>(b: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (x, r) = b.split_at_checked(n).expect("short");
    *b = r;
    x
}
#[inline]
fn u16be(b: &mut &[u8]) -> u16 {
    let x = take(b, 2);
    u16::from_be_bytes([x[0], x[1]])
}
#[inline]
fn bin<'a>(b: &mut &'a [u8]) -> &'a [u8] {
    let n = u16be(b) as usize;
    take(b, n)
}
#[inline]
fn utf<'a>(b: &mut &'a [u8]) -> &'a str {
    std::str::from_utf8(bin(b)).expect("utf8")
}
#[inline]
fn vbi(b: &mut &[u8]) -> usize {
    let mut v = 0usize;
    for i in 0..4 {
        let x = take(b, 1)[0];
        v |= ((x & 0x7f) as usize) << (7 * i);
        if x & 0x80 == 0 {
            return v;
        }
    }
    panic!("vbi")
}
/// Walk a property block, checking ids, lengths and UTF-8; keeps only the block itself (lazy access).
fn props<'a>(b: &mut &'a [u8]) -> &'a [u8] {
    let n = vbi(b);
    let whole = take(b, n);
    let mut p = whole;
    while !p.is_empty() {
        match take(&mut p, 1)[0] {
            1 | 23 | 25 | 36 | 37 | 40 | 41 | 42 => { take(&mut p, 1); }
            19 | 33 | 34 | 35 => { take(&mut p, 2); }
            2 | 17 | 24 | 39 => { take(&mut p, 4); }
            11 => { vbi(&mut p); }
            9 | 22 => { bin(&mut p); }
            3 | 8 | 18 | 21 | 26 | 28 | 31 => { utf(&mut p); }
            38 => { utf(&mut p); utf(&mut p); }
            x => panic!("property {x}"),
        }
    }
    whole
}
#[derive(Clone)]
#[allow(dead_code)]
pub enum B<'a> {
    Publish { flags: u8, topic: &'a str, pid: u16, props: &'a [u8], payload: &'a [u8] },
    Ack { kind: u8, pid: u16 },
    Other { kind: u8, fields: usize, body: &'a [u8] },
}
#[inline]
fn parse<const VER: u8>(b0: u8, mut b: &[u8]) -> B<'_> {
    match b0 >> 4 {
        3 => {
            let topic = utf(&mut b);
            let pid = if b0 & 6 != 0 { u16be(&mut b) } else { 0 };
            let props = if VER == 5 { props(&mut b) } else { &[] };
            B::Publish { flags: b0 & 15, topic, pid, props, payload: b }
        }
        k @ 4..=7 => B::Ack { kind: k, pid: u16be(&mut b) },
        8 => {
            let body = b;
            u16be(&mut b);
            if VER == 5 {
                props(&mut b);
            }
            let mut n = 0;
            while !b.is_empty() {
                utf(&mut b);
                take(&mut b, 1);
                n += 1;
            }
            B::Other { kind: 8, fields: n, body }
        }
        1 => {
            let body = b;
            bin(&mut b);
            take(&mut b, 4);
            if VER == 5 {
                props(&mut b);
            }
            utf(&mut b);
            if VER == 5 {
                props(&mut b);
            }
            utf(&mut b);
            bin(&mut b);
            utf(&mut b);
            bin(&mut b);
            B::Other { kind: 1, fields: 5, body }
        }
        k => panic!("type {k}"),
    }
}
#[inline]
fn put_vbi(tx: &mut BytesMut, n: usize) {
    if n < 128 {
        tx.put_u8(n as u8)
    } else if n < 16384 {
        tx.put_slice(&[n as u8 | 0x80, (n >> 7) as u8])
    } else {
        tx.put_slice(&[n as u8 | 0x80, (n >> 7) as u8 | 0x80, (n >> 14) as u8])
    }
}
#[inline]
fn vl(n: usize) -> usize {
    if n < 128 { 1 } else if n < 16384 { 2 } else { 3 }
}
/// header of a PUBLISH; the payload is the caller's
#[inline]
fn put_head<const VER: u8>(tx: &mut BytesMut, flags: u8, topic: &[u8], pid: u16, props: &[u8], payload: usize) {
    let pl = if VER == 5 { vl(props.len()) + props.len() } else { 0 };
    let body = 2 + topic.len() + if flags & 6 != 0 { 2 } else { 0 } + pl + payload;
    tx.put_u8(0x30 | flags);
    put_vbi(tx, body);
    tx.put_u16(topic.len() as u16);
    tx.put_slice(topic);
    if flags & 6 != 0 {
        tx.put_u16(pid);
    }
    if VER == 5 {
        put_vbi(tx, props.len());
        tx.put_slice(props);
    }
}
#[inline]
fn args_props(a: &PubArgs, tmp: &mut [u8; 256]) -> usize {
    if !a.props {
        return 0;
    }
    let mut w = &mut tmp[..];
    let mut s = |id: u8, k: &[u8], v: Option<&[u8]>| {
        if id != 0 {
            w.put_u8(id);
        }
        w.put_u16(k.len() as u16);
        w.put_slice(k);
        if let Some(v) = v {
            w.put_u16(v.len() as u16);
            w.put_slice(v);
        }
    };
    s(8, RESPONSE_TOPIC.as_bytes(), None);
    s(9, CORRELATION, None);
    for (k, v) in USER {
        s(0x26, k.as_bytes(), Some(v.as_bytes()));
    }
    s(3, CONTENT_TYPE.as_bytes(), None);
    let left = w.len();
    256 - left
}
pub struct Borrowed<const VER: u8>;
impl<const VER: u8> Peer for Borrowed<VER> {
    const NAME: &'static str = "floor:hand-borrowed";
    const V: u8 = VER;
    type Rx = Rx;
    type Tx = BytesMut;
    type Pkt<'a> = B<'a>;
    rxfns!();
    txfns!();
    fn next<'a>(rx: &'a mut Rx) -> Option<B<'a>> {
        let b = &rx.buf[rx.pos..];
        let t = frame_len(b)?;
        rx.pos += t;
        let hl = if t < 130 { 2 } else if t < 16387 { 3 } else { 4 };
        Some(parse::<VER>(b[0], &b[hl..t]))
    }
    fn encode(s: &mut Option<B<'_>>, tx: &mut BytesMut) {
        match s.as_ref().unwrap() {
            B::Publish { flags, topic, pid, props, payload } => {
                put_head::<VER>(tx, *flags, topic.as_bytes(), *pid, props, payload.len());
                tx.put_slice(payload);
            }
            B::Ack { kind, pid } => tx.put_slice(&[kind << 4, 2, (pid >> 8) as u8, *pid as u8]),
            B::Other { kind, body, .. } => {
                tx.put_u8(kind << 4 | if *kind == 8 { 2 } else { 0 });
                put_vbi(tx, body.len());
                tx.put_slice(body)
            }
        }
    }
    fn publish(a: &PubArgs, tx: &mut BytesMut) -> bool {
        let mut tmp = [0u8; 256];
        let n = args_props(a, &mut tmp);
        put_head::<VER>(tx, a.qos << 1, a.topic.as_bytes(), a.pid, &tmp[..n], a.payload.len());
        tx.put_slice(&a.payload);
        true
    }
}
#[derive(Clone)]
#[allow(dead_code)]
pub enum O {
    Publish { flags: u8, topic: Bytes, pid: u16, props: Bytes, payload: Bytes },
    Ack { kind: u8, pid: u16 },
    Other { kind: u8, fields: usize, body: Bytes },
}
pub struct Slices<const VER: u8>;
pub struct Tx {
    head: BytesMut,
    segs: Vec<(usize, Bytes)>,
}
impl<const VER: u8> Peer for Slices<VER> {
    const NAME: &'static str = "floor:hand-slices";
    const V: u8 = VER;
    type Rx = BytesMut;
    type Tx = Tx;
    type Pkt<'a> = O;
    fn rx(cap: usize) -> BytesMut {
        BytesMut::with_capacity(cap)
    }
    fn push(rx: &mut BytesMut, b: &[u8]) {
        rx.extend_from_slice(b)
    }
    fn next(rx: &mut BytesMut) -> Option<O> {
        let t = frame_len(rx)?;
        let hl = if t < 130 { 2 } else if t < 16387 { 3 } else { 4 };
        let b0 = rx[0];
        if let 4..=7 = b0 >> 4 {
            // no reference count touched for acks
            let B::Ack { kind, pid } = parse::<VER>(b0, &rx[hl..t]) else { unreachable!() };
            rx.advance(t);
            return Some(O::Ack { kind, pid });
        }
        let f = rx.split_to(t).freeze();
        Some(match parse::<VER>(b0, &f[hl..]) {
            B::Publish { flags, topic, pid, props, payload } => O::Publish {
                flags,
                pid,
                topic: f.slice_ref(topic.as_bytes()),
                props: if props.is_empty() { Bytes::new() } else { f.slice_ref(props) },
                payload: { let n = payload.len(); let mut f = f; f.advance(t - n); f },
            },
            B::Other { kind, fields, .. } => O::Other { kind, fields, body: { let mut f = f; f.advance(hl); f } },
            B::Ack { .. } => unreachable!(),
        })
    }
    fn tx(_: usize) -> Tx {
        Tx { head: BytesMut::with_capacity(1 << 18), segs: Vec::with_capacity(1024) }
    }
    fn clear(tx: &mut Tx) {
        tx.head.clear();
        tx.segs.clear();
    }
    fn wire(tx: &mut Tx) -> Vec<u8> {
        let (mut o, mut at) = (vec![], 0);
        for (end, p) in &tx.segs {
            o.extend_from_slice(&tx.head[at..*end]);
            o.extend_from_slice(p);
            at = *end;
        }
        o.extend_from_slice(&tx.head[at..]);
        o
    }
    fn encode(s: &mut Option<O>, tx: &mut Tx) {
        match s.as_ref().unwrap() {
            O::Publish { flags, topic, pid, props, payload } => {
                put_head::<VER>(&mut tx.head, *flags, topic, *pid, props, payload.len());
                tx.segs.push((tx.head.len(), payload.clone()));
            }
            O::Ack { kind, pid } => tx.head.put_slice(&[kind << 4, 2, (pid >> 8) as u8, *pid as u8]),
            O::Other { kind, body, .. } => {
                tx.head.put_u8(kind << 4 | if *kind == 8 { 2 } else { 0 });
                put_vbi(&mut tx.head, body.len());
                tx.head.put_slice(body)
            }
        }
    }
    fn publish(a: &PubArgs, tx: &mut Tx) -> bool {
        let mut tmp = [0u8; 256];
        let n = args_props(a, &mut tmp);
        put_head::<VER>(&mut tx.head, a.qos << 1, a.topic.as_bytes(), a.pid, &tmp[..n], a.payload.len());
        tx.segs.push((tx.head.len(), a.payload.clone()));
        true
    }
}

/// One `Bytes` per packet plus offsets.
#[derive(Clone)]
#[allow(dead_code)]
pub struct F {
    frame: Option<Bytes>,
    b0: u8,
    pid: u16,
    topic: (u32, u32),
    props: (u32, u32),
    payload: u32,
}
pub struct FRx {
    cur: Bytes,
}
pub struct Frame<const VER: u8>;
impl<const VER: u8> Peer for Frame<VER> {
    const NAME: &'static str = "floor:hand-frame";
    const V: u8 = VER;
    type Rx = FRx;
    type Tx = BytesMut;
    type Pkt<'a> = F;
    fn rx(_: usize) -> FRx {
        FRx { cur: Bytes::new() }
    }
    fn push(rx: &mut FRx, b: &[u8]) {
        let mut n = BytesMut::with_capacity(rx.cur.len() + b.len());
        n.extend_from_slice(&rx.cur);
        n.extend_from_slice(b);
        rx.cur = n.freeze();
    }
    fn next(rx: &mut FRx) -> Option<F> {
        let t = frame_len(&rx.cur)?;
        let hl = if t < 130 { 2 } else if t < 16387 { 3 } else { 4 };
        let b0 = rx.cur[0];
        if let 4..=7 = b0 >> 4 {
            let B::Ack { pid, .. } = parse::<VER>(b0, &rx.cur[hl..t]) else { unreachable!() };
            rx.cur.advance(t);
            return Some(F { frame: None, b0, pid, topic: (0, 0), props: (0, 0), payload: 0 });
        }
        let frame = rx.cur.split_to(t);
        let base = frame.as_ptr() as usize;
        let at = |x: &[u8]| ((x.as_ptr() as usize - base) as u32, x.len() as u32);
        Some(match parse::<VER>(b0, &frame[hl..]) {
            B::Publish { topic, pid, props, payload, .. } => {
                let (topic, props, payload) = (at(topic.as_bytes()), if props.is_empty() { (0, 0) } else { at(props) }, at(payload).0);
                F { b0, pid, topic, props, payload, frame: Some(frame) }
            }
            _ => F { b0, pid: 0, topic: (0, 0), props: (0, 0), payload: hl as u32, frame: Some(frame) },
        })
    }
    txfns!();
    fn encode(s: &mut Option<F>, tx: &mut BytesMut) {
        let f = s.as_ref().unwrap();
        match &f.frame {
            None => tx.put_slice(&[f.b0, 2, (f.pid >> 8) as u8, f.pid as u8]),
            Some(b) => tx.put_slice(b),
        }
    }
    fn publish(_: &PubArgs, _: &mut BytesMut) -> bool {
        false
    }
}
